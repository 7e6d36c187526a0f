"""A cluster with something on every page: records, hostile ones too, other clusters in every state, a lane
that waits, evidence, a proposal. No daemon runs: the shipped ledger executed it, real keys certified it."""

from hashlib import sha256

from consensus import Value
from node.ledger.federation.changes import RetireCluster
from node.ledger.federation.records import STALE_AFTER_MS
from node.ledger.governance.changes import Reweigh
from node.storage import ChainTable, Write
from tests.node.api.fake_backend import FakeBackend
from tests.node.ledger.federation.cluster import Cluster, federate, settle
from tests.node.ledger.federation.test_judging import accuse, forked

HOSTILE_RECORD = "docs/hostile"
TURNED = "bill-\u202egpj.exe\u2066\x1b[2J"
MARKUP = '<img src=x onerror="window.isOwned=1"><script>window.isOwned=1</script>'
HOSTILE_LINK = "javascript:window.isOwned=1"
HOSTILE_LABEL = "</dt><svg onload='window.isOwned=1'>"
RECORDS = 60
VALIDATORS_EVIDENCE_ID = b"\x17" * 32


class Showcase(FakeBackend):
    """The node of a cluster that was made elsewhere."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster.genesis)
        self.cluster = cluster
        self.store = cluster.store
        self._ledger = cluster.ledger

    def metrics_text(self) -> bytes:
        return (
            b"# HELP isthmus_consensus_height Height of the newest certified header.\n"
            b"# TYPE isthmus_consensus_height gauge\n"
            b"isthmus_consensus_height %d\n"
            b"# HELP isthmus_p2p_peers Peers that are connected.\n"
            b"# TYPE isthmus_p2p_peers gauge\n"
            b'isthmus_p2p_peers{kind="validator"} 3\n' % self.height
        )

    def put(self, *record_ids: str) -> None:
        """One more block with these records."""
        self.cluster.run(
            *(self.cluster.sign(self.cluster.alice, "records", "put", args(i)) for i in record_ids)
        )


def args(record_id: str) -> tuple[Value, ...]:
    """The arguments that put a record of this name."""
    content = record_id.encode()
    labels = (("issuer", "harbour office"), ("year", "2026"))
    return (record_id, sha256(content).digest(), len(content), "text/plain", "archive:7", (), labels)


def hostile() -> tuple[Value, ...]:
    """A record whose texts would like to be markup."""
    labels = ((HOSTILE_LABEL, MARKUP), ("note", MARKUP), ("turned", TURNED))
    return (HOSTILE_RECORD, bytes(32), 1, MARKUP, HOSTILE_LINK, ("docs/manifest-0",), labels)


def build() -> Showcase:
    """All of it; the same at every call."""
    harbour = Cluster("harbour.example")
    others = [Cluster(f"{name}.example") for name in ("quay", "lagoon", "mole", "pier")]
    quay, _, mole, pier = others
    for other in others:
        federate(harbour, other)
        settle(harbour, other, rounds=1)
    for number in range(0, RECORDS, 3):
        names = [f"docs/manifest-{n}" for n in range(number, number + 3)]
        harbour.run(*(harbour.sign(harbour.alice, "records", "put", args(name)) for name in names))
    harbour.run(harbour.sign(harbour.alice, "records", "put", hostile()))
    replaced = (args("docs/manifest-0")[0], 1, *args("docs/manifest-0")[1:])
    harbour.run(harbour.sign(harbour.alice, "records", "supersede", replaced))
    harbour.run(harbour.sign(harbour.alice, "records", "supersede", replaced))  # refused: it is at version 2
    assert harbour.govern(RetireCluster(pier.id)).ok
    assert accuse(harbour, forked(mole)[1]).ok
    for cluster in (harbour, quay):
        cluster.run(after_ms=STALE_AFTER_MS + 1)
    harbour.pull(quay)
    assert harbour.share("docs/manifest-1", quay, lasting_ms=STALE_AFTER_MS).ok
    proposal = ((Reweigh("v3", 2).to_value(),), 0)
    harbour.run(harbour.sign(harbour.key("operator", 0), "governance", "propose", proposal))
    backend = Showcase(harbour)
    backend.store.apply([Write(ChainTable.EVIDENCE, VALIDATORS_EVIDENCE_ID, b"two votes of one round")], [])
    return backend
