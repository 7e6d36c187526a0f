"""Whether a node is where the others are: it hears a quorum, agreement has what it votes on, and what it
shows is fresh.

One distance lets a node in and a longer one lets it go: one that follows is told to be ready once, and not
again and again. The longer one is `certification_lag_max`, what agreement walks by itself and what voters let
ordering run ahead (C13, C25).
"""

from collections.abc import Iterable

from consensus import ValidatorIndex, ValidatorSet
from node.validator import Validator

NEAR_HEIGHTS = 16
"""So near a node has come when it counts as following: blocks on their way through agreement and execution
are always open, and at a hundred a second these are a few tenths of a second."""


class Nearness:
    """Judged whenever somebody asks; nothing runs in between."""

    def __init__(self, far_heights: int) -> None:
        """`far_heights`: a node that is further behind is not near any more."""
        self._far_heights = far_heights
        self._is_near = False

    def reason(self, validator: Validator, readable_height: int) -> str | None:
        """Why this node, which shows everything up to `readable_height`, is not near; None when it is. Asked
        of a node that hears of a quorum; who has no seat hears of certified heights alone."""
        view, data, term = validator.replica.view(), validator.data, validator.term
        known = max(view.certified_height, data.line.certified_height, data.catchup.target_height)
        reached = readable_height
        if term.me is not None:
            heard, told = _heard(validator, term.me)
            if not term.validators.is_quorum(heard):
                self._is_near = False
                return (
                    f"validators of weight {heard} of {term.validators.total_weight} have said how far they "
                    "are since they were linked, this node included; the others do so within seconds"
                )
            known = max(known, told)
            reached = min(reached, view.committed_height)
        far_heights = self._far_heights if self._is_near else NEAR_HEIGHTS
        self._is_near = view.behind_height is None and known - reached <= far_heights
        if self._is_near:
            return None
        progress = data.catchup.progress()
        if progress is None:
            return f"it is behind: it follows up to height {reached}, and {known} is certified"
        return f"it is catching up: height {progress.at_height} of {max(known, progress.target_height)}"


def _heard(validator: Validator, me: ValidatorIndex) -> tuple[int, int]:
    """The weight of those linked validators that said since their links came up how far they are, with our
    own; and the highest certified height that this makes sure of."""
    validators = validator.validators
    claims: list[tuple[int, ValidatorIndex]] = []
    for consensus_key in validator.directory.connected_validators():
        index = validators.index_of(consensus_key)
        seen = validator.sightings.of(validator.directory.outer(consensus_key))
        if index is None or index == me or seen is None or not seen.has_told:
            continue
        claims.append((seen.certified_height or 0, index))
    return validators.weight_of([me, *(index for _, index in claims)]), vouched_height(claims, validators)


def vouched_height(claims: Iterable[tuple[int, ValidatorIndex]], validators: ValidatorSet) -> int:
    """The highest height that is certified if more than two thirds of the weight are honest: a blocking set
    says so. `claims` are certified heights and who tells them, each once; 0 where they are too few."""
    weight = 0
    for height, index in sorted(claims, reverse=True):
        weight += validators.weight_of((index,))
        if validators.is_blocking(weight):
            return height
    return 0
