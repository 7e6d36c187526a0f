"""The whole picture of one running node: the cluster, the node itself, then a line for each peer."""

from node.diagnosis.cluster import CLUSTER_RULES, NODE_RULES, Scene
from node.diagnosis.facts import NodeFacts, PeerFacts
from node.diagnosis.links import PEER_RULES
from node.diagnosis.seen import Seen
from node.diagnosis.verdict import Diagnosis, first_that_applies

CLUSTER = "cluster"


def diagnose(node: NodeFacts, peers: tuple[PeerFacts, ...]) -> tuple[Diagnosis, ...]:
    """One diagnosis of the cluster, one of the node, one of each peer, in this order."""
    scene = Scene(node, peers)
    return (
        first_that_applies(CLUSTER_RULES, scene, CLUSTER),
        first_that_applies(NODE_RULES, scene, node.name),
        *(first_that_applies(PEER_RULES, Seen(peer, node), peer.name) for peer in peers),
    )
