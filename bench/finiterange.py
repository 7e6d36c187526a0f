"""A range of numbers for options: what is not a number is in no range, and yet passes click's own check."""

from math import isfinite
from typing import Any

import click


class FiniteRange(click.FloatRange):
    """`click.FloatRange` that refuses `nan` and `inf` in a sentence."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number; fails as a user's fault."""
        number = super().convert(value, param, ctx)
        if not isfinite(number):
            self.fail(f"{value} is no number of the range {self._describe_range()}.", param, ctx)
        return number
