"""Golden vectors of the federation in the ledger: changes, leaves, receipts, and headers with full roots.

Made once by `python -m tests.node.ledger.federation.test_vectors`; they must read the same for ever.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from consensus import CodecError, Digest, PublicKey, Value, decode, encode
from node.anchoring.lanes import Mode
from node.ledger.federation.changes import (
    ApproveRecovery,
    FederationChange,
    RetireCluster,
    SetAddresses,
    SetFederation,
    SetLanePolicy,
    SetReaders,
    VouchForHeader,
    federation_change_of,
)
from node.ledger.federation.grants import Grant
from node.ledger.federation.keys import client_key, name_key, outbox_key, peer_key, policy_key
from node.ledger.federation.records import Address, FederationParams, LanePolicy, Peering
from node.ledger.governance.changes import change_of
from node.ledger.receipts import Receipt
from node.proofs.header import EMPTY_MAP_ROOT, Header
from tests.node.ledger.federation.cluster import Cluster, federate

VECTORS = Path(__file__).parents[3] / "vectors" / "ledger_federation.json"
ID, HASH, KEY = Digest(b"\x01" * 32), Digest(b"\x02" * 32), b"\x03" * 32


def changes() -> dict[str, FederationChange]:
    genesis = Cluster("ports.alpha").genesis.body
    return {
        "admit": federation_change_of(8, (8, genesis, ((KEY, "node.example", 27_600),))),
        "retire": RetireCluster(ID),
        "approve recovery": ApproveRecovery(ID, 1, HASH),
        "lane policy": SetLanePolicy(ID, "records", Mode.UNORDERED, LanePolicy(True, False, 200, 60_000)),
        "lane policy without quota": SetLanePolicy(ID, "records", Mode.ORDERED, LanePolicy(True, True)),
        "parameters": SetFederation(FederationParams(2, 60_000, 86_400_000)),
        "vouch": VouchForHeader(ID, 7, HASH),
        "readers": SetReaders(
            ID,
            (
                Grant("records/", True),
                Grant("records/port/", False, ("acme",), ("client",), (PublicKey(KEY),)),
            ),
        ),
        "readers, none": SetReaders(ID, ()),
        "addresses": SetAddresses(ID, (Address(PublicKey(KEY), "node.example", 27_600),)),
    }


def damaged() -> dict[str, Value]:
    return {
        "admit: no genesis": (8, b"\x90", ()),
        "admit: a genesis beyond 48 KiB": (8, bytes(48 * 1024 + 1), ()),
        "admit: port 0": (8, Cluster("ports.alpha").genesis.body, ((KEY, "node.example", 0),)),
        "admit: host with a space": (8, Cluster("ports.alpha").genesis.body, ((KEY, "node example", 1),)),
        "admit: short node key": (8, Cluster("ports.alpha").genesis.body, ((KEY[1:], "node.example", 1),)),
        "retire: short id": (9, ID[1:]),
        "approve recovery: incarnation 0": (10, ID, 0, HASH),
        "lane policy: mode 3": (11, ID, "records", 3, 1, 1, None, 60_000),
        "lane policy: port of capitals": (11, ID, "Records", 1, 1, 1, None, 60_000),
        "lane policy: window of no length": (11, ID, "records", 1, 1, 1, 5, 0),
        "lane policy: neither 0 nor 1": (11, ID, "records", 1, 2, 1, None, 60_000),
        "parameters: heartbeat not well below": (12, 2, 60_000, 100_000),
        "vouch: height 0": (13, ID, 0, HASH),
        "readers: no prefix": (14, ID, (("", 1, (), (), ()),)),
        "readers: an organisation of capitals": (14, ID, (("records/", 1, ("Acme",), (), ()),)),
        "readers: short key": (14, ID, (("records/", 1, (), (), (KEY[1:],)),)),
        "addresses: port 0": (15, ID, ((KEY, "node.example", 0),)),
        "addresses: one more than 32": (15, ID, ((KEY, "node.example", 1),) * 33),
        "readers: neither 0 nor 1": (14, ID, (("records/", 2, (), (), ()),)),
        "readers: more than 32 grants": (14, ID, (("records/", 1, (), (), ()),) * 33),
        "kind 15": (15, ID),
    }


def story() -> tuple[Cluster, Cluster, list[Receipt]]:
    """A shares a record with B, and hears that it arrived."""
    a, b = Cluster("ports.alpha"), Cluster("ports.beta")
    federate(a, b)
    a.put("port/manifest")
    receipts = [a.share("port/manifest", b)]
    for at, other in ((b, a), (a, b)):
        receipt = at.pull(other)
        assert receipt is not None
        receipts.append(receipt)
    return a, b, receipts


def current() -> dict[str, Any]:
    a, b, receipts = story()
    leaves = {
        "client": a.state(client_key(b.id)),
        "peer": a.state(peer_key(b.id)),
        "name": a.state(name_key(b.name)),
        "policy": a.state(policy_key(b.id, "records", Mode.UNORDERED)),
        "outbox": a.state(outbox_key(b.id)),
    }
    return {
        "changes": {name: encode(change.to_value()).hex() for name, change in changes().items()},
        "damaged changes": {name: encode(value).hex() for name, value in damaged().items()},
        "leaves": {name: (leaf or b"").hex() for name, leaf in leaves.items()},
        "receipts": [receipt.encoded.hex() for receipt in receipts],
        "headers": [cluster.executions[-1].header.encoded.hex() for cluster in (a, b)],
        "peering": encode(Peering((Address(KEY, "h", 1),), 5, 6, HASH).to_value()).hex(),  # type: ignore[arg-type]  # bytes
    }


def test_every_encoding_is_the_golden_one() -> None:
    golden = json.loads(VECTORS.read_text())
    made = json.loads(json.dumps(current()))
    assert set(made) == set(golden)
    for what, expected in golden.items():
        assert made[what] == expected, what


def test_golden_headers_carry_both_roots() -> None:
    for encoded in json.loads(VECTORS.read_text())["headers"]:
        header = Header.decode(bytes.fromhex(encoded))
        assert EMPTY_MAP_ROOT not in (header.anchors_root, header.outbox_root)


def test_golden_changes_read_as_what_they_are() -> None:
    golden = json.loads(VECTORS.read_text())["changes"]
    for name, change in changes().items():
        assert change_of(decode(bytes.fromhex(golden[name]))) == change


@pytest.mark.parametrize("name", sorted(damaged()))
def test_damaged_changes_are_refused(name: str) -> None:
    encoded = bytes.fromhex(json.loads(VECTORS.read_text())["damaged changes"][name])
    with pytest.raises(CodecError):
        change_of(decode(encoded))


if __name__ == "__main__":
    VECTORS.write_text(json.dumps(current(), indent=1) + "\n")
