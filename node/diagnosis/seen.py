"""What the rules about another node look at: the peer, and the node that looks."""

from dataclasses import dataclass

from node.diagnosis.facts import NodeFacts, PeerFacts


@dataclass(frozen=True, slots=True)
class Seen:
    """One peer, and the node that looks at it."""

    peer: PeerFacts
    node: NodeFacts
