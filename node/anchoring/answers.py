"""What another cluster answered, checked against what our own ledger has anchored of it.

A bundle comes without the genesis, and its certificate is not what is believed here: its header counts once
it is the tip that the ledger holds of that cluster, or stands in that tip's history. Until then it waits.
"""

from consensus import CodecError
from node.anchoring.bundles.bundle import Bundle, OutboxStatement, StateStatement
from node.anchoring.bundles.facts import Fact, OutboxFact, StateFact, check_statement
from node.anchoring.client.state import ClientState, Tip
from node.proofs import ProofError
from node.proofs.header import Header


def state_told(data: bytes, cluster_id: bytes, key: bytes) -> tuple[Bundle, Header]:
    """The bundle about `key`, whose value follows from its own header. Raises ProofError."""
    bundle, header, fact = _opened(data, cluster_id)
    if not isinstance(fact, StateFact) or fact.key != key:
        raise ProofError(f"answer: it is not about the key {key!r:.80}")
    return bundle, header


def leaf_told(data: bytes, cluster_id: bytes, hearer: bytes) -> tuple[Bundle, Header, OutboxFact]:
    """The bundle about a leaf said to cluster `hearer`, as above. Raises ProofError."""
    bundle, header, fact = _opened(data, cluster_id)
    if not isinstance(fact, OutboxFact) or fact.destination != hearer:
        raise ProofError("answer: it is not about what was said to us")
    return bundle, header, fact


def check_anchored(client: ClientState, header: Header, path: tuple[bytes, ...]) -> None:
    """The header is the tip that `client` holds, or at its place in the tip's history. Raises ProofError."""
    if header.cluster_id != client.cluster_id or header.incarnation > client.incarnation:
        raise ProofError(
            f"anchor: header {header.height} is of incarnation {header.incarnation} of cluster "
            f"{header.cluster_id.hex()}, held is {client.incarnation} of {client.cluster_id.hex()}"
        )
    check_in_history(client.last, header, path)


def check_in_history(tip: Tip, header: Header, path: tuple[bytes, ...]) -> None:
    """The header is the tip, or stands in its history. Raises ProofError."""
    if header.height != tip.height:
        if header.height > tip.height:
            raise ProofError(f"anchor: header {header.height} is above the anchored {tip.height}")
        tip.point.check_holds(header.height, header.hash, path)
    elif header.hash != tip.header_hash:
        raise ProofError(
            f"anchor: header {header.height} has the hash {header.hash.hex()}, anchored is "
            f"{tip.header_hash.hex()}"
        )


def _opened(data: bytes, cluster_id: bytes) -> tuple[Bundle, Header, Fact]:
    try:
        bundle = Bundle.decode(data)
        header = Header.decode(bundle.header)
    except CodecError as error:
        raise ProofError(f"answer: {error}") from error
    if bundle.certified_later is not None or bundle.checkpoint is not None or bundle.genesis_body:
        raise ProofError("answer: it holds more than was asked for")
    if not isinstance(bundle.statement, StateStatement | OutboxStatement):
        raise ProofError("answer: it states neither a state nor a message")
    if header.cluster_id != cluster_id:
        raise ProofError(f"answer: header {header.height} is of cluster {header.cluster_id.hex()}")
    fact, _ = check_statement(bundle.statement, header)
    return bundle, header, fact
