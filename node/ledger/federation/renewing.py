"""What another cluster's own governance installed, learnt from its roster: its operators and its nodes.

Those of its genesis may have left long ago. A roster is believed as it is proven under the anchored state
root, of exactly the epoch and the set that the light client holds; so a federation survives an epoch change
that replaces every node of the other side.
"""

from node.anchoring.client.lightclient import renew_operators
from node.anchoring.client.state import ClientState
from node.anchoring.cluster.operators import read_nodes
from node.anchoring.lanes.inbound import RosterProof
from node.ledger.federation.keys import nodes_key
from node.ledger.federation.records import Nodes, nodes_of, stored
from node.ledger.federation.session import Session


def renew_by(session: Session, client: ClientState, roster: RosterProof) -> tuple[ClientState, bool]:
    """The client with the operators of the roster, stored with its nodes, and whether anything is new. Raises
    Refused."""
    renewed = renew_operators(client, roster.leaf, roster.proof)
    nodes = Nodes(*read_nodes(roster.leaf))
    is_new = renewed != client or nodes != nodes_of(session.get, client.cluster_id)
    if is_new:
        session.put_client(renewed)
        session.draft.put(nodes_key(client.cluster_id), stored(nodes))
    return renewed, is_new
