"""Where the federation stands in the state: readable keys, so that each leaf is found, proven and copied.

federation/clusters                       [cluster id, ...] in order of admission
federation/params                         [witnesses, heartbeat_ms, stale_after_ms]
federation/client/<id hex>                ClientState (node/anchoring/client/state.py)
federation/peer/<id hex>                  what only the holder knows of it (`records.Peering`)
federation/genesis/<id hex>               its genesis body
federation/nodes/<id hex>                 the nodes of its newest proven roster (`records.Nodes`)
federation/name/<name>                    cluster id
federation/{certified,claim,seen}/<id>    what others were shown of it, compared with ours (`watching.py`)
federation/policy/<id hex>/<port>/<o|u>   what operators allow on a lane (`records.LanePolicy`)
federation/readers/<id hex>               who of it may read what of ours (`grants.Grant`)
federation/quota/<id hex>/<port>/<o|u>    [window, messages received in it]
federation/evidence/<id hex>              [evidence id, ...], federation/evidence/<id hex>/<id hex> each
federation/outbox/<id hex>                the compact range of what was ever said to it
lanes/...                                 the lanes' own records (node/anchoring/lanes/state.py)
"""

from node.anchoring.lanes.messages import Mode

CLUSTERS_KEY = b"federation/clusters"
PARAMS_KEY = b"federation/params"
STATE_PREFIX = b"federation/"
CLIENT_PREFIX = b"federation/client/"
STATE_PREFIXES = ("federation", "lanes")
"""First parts of state keys that no application may have."""


def client_key(cluster_id: bytes) -> bytes:
    """Where a light client stands."""
    return CLIENT_PREFIX + cluster_id.hex().encode()


def peer_key(cluster_id: bytes) -> bytes:
    """Where a `Peering` stands."""
    return b"federation/peer/" + cluster_id.hex().encode()


def genesis_key(cluster_id: bytes) -> bytes:
    """Where the genesis body of an admitted cluster stands."""
    return b"federation/genesis/" + cluster_id.hex().encode()


def nodes_key(cluster_id: bytes) -> bytes:
    """Where the `Nodes` of a cluster stand."""
    return b"federation/nodes/" + cluster_id.hex().encode()


def certified_key(cluster_id: bytes) -> bytes:
    """Where the certified header of a client's tip stands."""
    return b"federation/certified/" + cluster_id.hex().encode()


def claim_key(cluster_id: bytes) -> bytes:
    """Where a `Claim` stands."""
    return b"federation/claim/" + cluster_id.hex().encode()


def seen_key(cluster_id: bytes) -> bytes:
    """Where the views of others stand."""
    return b"federation/seen/" + cluster_id.hex().encode()


def name_key(name: str) -> bytes:
    """Where the claim of a cluster's name stands."""
    return b"federation/name/" + name.encode()


def policy_key(cluster_id: bytes, port: str, mode: Mode) -> bytes:
    """Where a `LanePolicy` stands."""
    return b"federation/policy/%s" % _lane(cluster_id, port, mode)


def readers_key(cluster_id: bytes) -> bytes:
    """Where the grants to a cluster's members stand."""
    return b"federation/readers/" + cluster_id.hex().encode()


def quota_key(cluster_id: bytes, port: str, mode: Mode) -> bytes:
    """Where a `Quota` stands."""
    return b"federation/quota/%s" % _lane(cluster_id, port, mode)


def evidence_list_key(cluster_id: bytes) -> bytes:
    """Where the ids of the evidence against a cluster stand."""
    return b"federation/evidence/" + cluster_id.hex().encode()


def evidence_key(cluster_id: bytes, evidence_id: bytes) -> bytes:
    """Where one piece of evidence stands."""
    return b"%s/%s" % (evidence_list_key(cluster_id), evidence_id.hex().encode())


def outbox_key(cluster_id: bytes) -> bytes:
    """Where the compact range of a destination's log stands."""
    return b"federation/outbox/" + cluster_id.hex().encode()


def _lane(cluster_id: bytes, port: str, mode: Mode) -> bytes:
    kind = b"o" if mode is Mode.ORDERED else b"u"
    return b"%s/%s/%s" % (cluster_id.hex().encode(), port.encode(), kind)
