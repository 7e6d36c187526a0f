"""The options that mean the same in every command: --json, --home, --url, --key."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from node.cli.output import Output
from node.home import Home, default_home

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


def _to_output(_context: click.Context, _parameter: click.Parameter, value: bool) -> Output:
    return Output(value)


def _to_home(_context: click.Context, _parameter: click.Parameter, value: str | None) -> Home:
    return default_home(value, Path.home())


def json_option(function: _Decorated) -> _Decorated:
    """--json; the command receives `output`."""
    decorate = click.option(
        "--json", "output", is_flag=True, callback=_to_output, help="Answer with one JSON document."
    )
    return decorate(function)


def home_option(function: _Decorated) -> _Decorated:
    """--home or ISTHMUS_HOME; the command receives `home`."""
    decorate = click.option(
        "--home",
        metavar="DIR",
        envvar="ISTHMUS_HOME",
        callback=_to_home,
        help="The node's folder (or ISTHMUS_HOME; otherwise ~/.isthmus-node).",
    )
    return decorate(function)
