"""Why a node or its cluster stands still, from plain facts: one table of rules, pure, each rule tested.

Whoever gathers the facts (a running node about itself and its links, the command line about a node that is
down) decides nothing; whoever shows the diagnoses invents no words.
"""

from node.diagnosis.cluster import CLUSTER_RULES, NODE_RULES
from node.diagnosis.downed import DOWN_RULES, HomeFacts, elsewhere, why_down
from node.diagnosis.facts import LeftOut, NodeFacts, PeerFacts, ProposedFeature
from node.diagnosis.links import PEER_RULES, gave_up_lately
from node.diagnosis.verdict import Diagnosis, Rule, Verdict
from node.diagnosis.why import diagnose

__all__ = [
    "CLUSTER_RULES",
    "DOWN_RULES",
    "NODE_RULES",
    "PEER_RULES",
    "Diagnosis",
    "HomeFacts",
    "LeftOut",
    "NodeFacts",
    "PeerFacts",
    "ProposedFeature",
    "Rule",
    "Verdict",
    "diagnose",
    "elsewhere",
    "gave_up_lately",
    "why_down",
]
