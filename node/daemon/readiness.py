"""Ready means: this node can commit. Every reason why it cannot is a sentence an operator can act on."""

from collections.abc import Sequence

from consensus import ReplicaView, StartKind, ValidatorIndex
from node.daemon.daemon import Node
from node.pool.following import Following

BACKLOG_MAX = 8_192
"""Inputs waiting for the validator above which the node does not keep up."""


def reasons_against(node: Node) -> tuple[str, ...]:
    """Why this node cannot commit now; empty when it can."""
    reasons: list[str] = []
    validators = node.validator.validators
    view = node.validator.replica.view()
    data = node.validator.data
    floor = node.opened.floor
    if floor is not None and floor.record is None:
        reasons.append(floor.explanation)
    elif floor is not None and floor.kind is StartKind.BEHIND:
        reasons += below_the_floor(view)
    if data.diverged is not None:
        reasons.append(
            f"its ledger diverged from the cluster's at height {data.diverged.height}: keep the data, "
            "compare it with another node's, and recover by the operators"
        )
    weight = node.validator.reachable_weight()
    if node.validator.term.me is None:
        reasons += _not_fed(node.validator.feeding.following)
    elif not validators.is_quorum(weight):
        reasons.append(
            f"validators of weight {weight} of {validators.total_weight} are reachable, a quorum needs more "
            "than two thirds: start the others, or look at the links"
        )
    else:
        term = node.validator.term
        stalled = stalled_round(view, term.me, [record.name for record in term.roster.validators])
        reasons += () if stalled is None else (stalled,)
    far = node.nearness.reason(node.validator, node.waiters.readable_height)
    if far is not None and (data.catchup.running or not reasons):
        reasons.append(far)
    if data.desk.closed is not None and data.diverged is None:
        reasons.append(data.desk.closed)
    if len(node.postbox) > BACKLOG_MAX:
        reasons.append(f"{len(node.postbox)} inputs wait for the validator: the machine is too slow")
    return tuple(reasons)


def _not_fed(following: Following) -> tuple[str, ...]:
    """Who has no seat commits nothing, and is ready while the chain reaches it."""
    if following.feeder is not None:
        return ()
    if not following.has_links:
        return (
            "it is linked to no other node: look at the reasons that `isthmus status` shows for its peers",
        )
    return ("none of its peers sends it new heights yet: it asks them for news, and is seconds behind",)


def stalled_round(view: ReplicaView, me: ValidatorIndex | None, names: Sequence[str]) -> str | None:
    """The reason that no broken link tells: this node gave its round up, and no quorum has followed yet.

    With a quorum awake this holds for the few milliseconds until its timeouts are here.
    """
    if me is None or me not in view.timed_out_now:
        return None
    silent = [name for index, name in enumerate(names) if index not in view.timed_out_now]
    return (
        f"round {view.round} does not end: it was given up here, and nothing is heard of "
        f"{', '.join(silent)}, connected or not: look at their logs and their machines"
    )


def below_the_floor(view: ReplicaView) -> list[str]:
    """What the replica may not sign yet (C14), asked of the epoch that it is in: rounds begin anew in each,
    and what was reserved of an older one bounds heights only."""
    if view.round > view.floor_round and view.certified_height >= view.floor_height:
        return []
    return [
        "its data is older than what its key has signed: it follows, and signs again only above round "
        f"{view.floor_round} (now {view.round}) and height {view.floor_height} "
        f"(now {view.certified_height}); do not stop another validator until then"
    ]
