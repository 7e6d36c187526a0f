"""What a node asks of a governance transaction before it takes it in, beside its form.

Whoever wants a feature asks for it, and approves it, through a node of its own: that node must know the
feature, and must have seen that more than two thirds of the weight do (node/daemon/featuregate.py).
Execution asks nothing of this kind: there, what software knows must decide nothing.
"""

from collections.abc import Callable, Sequence

from consensus import Value, as_bytes
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.features import unknown_among
from node.ledger.governance.changes import changes_of, enabled_names
from node.ledger.governance.proposals import Proposal, proposal_key


def require_known(
    method: str, args: tuple[Value, ...], get: Callable[[bytes], bytes | None], known: Sequence[str]
) -> None:
    """Raises RejectedTransaction FEATURE_UNKNOWN when the call proposes or approves a feature that is not
    `known`. `args` have been parsed before; `get` reads a state leaf."""
    unknown = unknown_among(features_named(method, args, get), known)
    if unknown:
        raise RejectedTransaction(Code.FEATURE_UNKNOWN, ", ".join(unknown))


def features_named(
    method: str, args: tuple[Value, ...], get: Callable[[bytes], bytes | None]
) -> tuple[str, ...]:
    """The features that a call would enable; see `require_known`."""
    if method == "propose":
        return enabled_names(changes_of(args[0]))
    if method != "approve":
        return ()
    stored = get(proposal_key(as_bytes(args[0], "proposal id", length=32)))
    return () if stored is None else enabled_names(Proposal.decode(stored).changes)
