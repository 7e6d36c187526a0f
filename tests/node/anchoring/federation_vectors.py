"""Golden vectors of what clusters tell of each other, in tests/vectors/federation_*.json: made and read here.

`federation_known.json` holds one or more of every object of `node/anchoring/SPEC.md`, with what comes of it;
`federation_damaged.json` describes each damage as one replacement at a path inside a known object, where a
path may go through byte strings that are canonical themselves, with the code of its refusal. They are written
once: `python -m tests.node.anchoring.federation_vectors`.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from consensus import CodecError, SignatureCache, Value, as_tuple, decode, encode
from node.anchoring import Bundle, CertifiedLater, HeaderStatement, verify
from node.anchoring.client.lightclient import Corroboration, Update, admit, freeze, recover, register, update
from node.anchoring.client.state import ClientState
from node.anchoring.cluster.anchors import Anchor, SplitView, path_from_value
from node.anchoring.cluster.epochs import LinksFile, follow_all
from node.anchoring.cluster.identity import ClusterIdentity
from node.anchoring.forks.evidence import EvidenceFile, ForkEvidence, ForkKind, Ground, Statement, judge
from node.anchoring.forks.incarnations import RecoveryFile, footing_of
from node.anchoring.forks.recovery import RecoveredBy, RecoveryCertificate
from node.anchoring.refusals import Refused
from node.proofs import ProofError
from tests.node.anchoring.bundle_vectors import CERTIFICATE, HEADER, opened, replaced, to_json
from tests.node.anchoring.chains import Anchors, Chain, anchor_of, certify, changed, keys
from tests.node.proofs.vector_files import VECTORS

Shape = Any
"""None: a field. A list of (label, shape): an array. (shape,): a list of it. {"in": shape}: opened bytes."""

_HEADER: Shape = {"in": [(name, None) for name in HEADER]}
_CERTIFICATE: Shape = [(name, None) for name in CERTIFICATE]
_CERTIFIED: Shape = [("header", _HEADER), ("certificate", _CERTIFICATE)]
_MEMBERS: Shape = ([("key", None), ("weight", None)],)
_LINKS: Shape = ([*_CERTIFIED, ("members", _MEMBERS)],)
_STATEMENT: Shape = [*_CERTIFIED, ("leaf", [("hash", None), ("path", (None,))])]
_PROOF: Shape = [("depth", None), ("bitmap", None), ("siblings", None), ("other-leaf", None)]
_SET: Shape = [("epoch", None), ("members", _MEMBERS)]
_TIP: Shape = [
    (name, None)
    for name in (
        "incarnation",
        "height",
        "hash",
        "history",
        "time",
        "outbox",
        "anchors",
        "state",
        "next-validators",
    )
]
SHAPES: dict[str, Shape] = {
    "links": [("magic", None), ("cluster-id", None), ("links", _LINKS)],
    "update": [("top", _CERTIFIED), ("links", _LINKS), ("consistency-path", (None,)), ("tip-path", (None,))],
    "evidence": [
        ("magic", None),
        ("genesis", None),
        (
            "evidence",
            [
                ("version", None),
                ("kind", None),
                ("index", None),
                ("links", _LINKS),
                ("first", _STATEMENT),
                ("second", _STATEMENT),
            ],
        ),
    ],
    "recovery": [
        ("version", None),
        ("base", _CERTIFIED),
        ("incarnation", None),
        ("validators", _MEMBERS),
        ("operators", _MEMBERS),
        ("by", None),
        ("accused", (None,)),
        ("convicted", [("epoch", None), ("hash", None)]),
        ("signers", None),
        ("signatures", None),
        ("links", _LINKS),
    ],
    "split-view": [
        ("seer", _CERTIFIED),
        ("view", [("subject", None), ("anchor", None), ("proof", _PROOF)]),
        ("leaf", None),
        ("path", (None,)),
    ],
    "client": [
        ("version", None),
        ("cluster-id", None),
        ("name", None),
        ("incarnation", None),
        ("validators", _SET),
        ("origin", _SET),
        ("operators", _MEMBERS),
        ("tip", _TIP),
        ("status", None),
        ("admitted", None),
        ("unwatched", None),
        ("accused", (None,)),
        ("convicted", _SET),
    ],
    "anchor": [
        ("incarnation", None),
        ("epoch", None),
        ("height", None),
        ("hash", None),
        ("history", None),
        ("status", None),
    ],
    "bundle": [
        ("magic", None),
        ("kind", None),
        ("genesis", None),
        ("links", _LINKS),
        ("header", _HEADER),
        ("certificate", _CERTIFICATE),
        ("certified-header", _HEADER),
        ("history-path", (None,)),
        ("checkpoint", None),
        ("statement", None),
    ],
}
SHAPES["recovery-file"] = [
    ("magic", None),
    ("recovery", SHAPES["recovery"]),
    ("evidence", (SHAPES["evidence"][2][1],)),
]
SHAPES["recovered-bundle"] = SHAPES["bundle"]
SHAPES["replacement"] = SHAPES["recovery"]
SHAPES["higher-replacement"] = [("recovery", SHAPES["recovery"]), ("tip-path", (None,))]
SHAPES["late-evidence"] = SHAPES["evidence"][2][1]
SHAPES["recovered-client"] = [
    *SHAPES["client"],
    (
        "before",
        [
            ("client", {"in": SHAPES["client"]}),
            ("lowest", None),
            ("base-height", None),
            ("signers", (None,)),
            ("convicted", [("epoch", None), ("hash", None)]),
            ("taken", None),
        ],
    ),
]
UNBOUND = ("client", "recovered-client", "anchor")
"""Objects that only a state root binds: of them only what is malformed can be refused by itself."""

HARMLESS = (
    ("links", "links-cut-short"),
    ("recovery", "links-cut-short"),
    ("replacement", "links-cut-short"),
    ("late-evidence", "links-cut-short"),
    ("recovery-file", "evidence-extended"),
)
"""A links file of fewer epochs is a links file, a client that holds the set needs no links to it, and
evidence that comes twice is evidence."""


def outcome(kind: str, data: bytes, setting: dict[str, Any]) -> Value:
    """What comes of an object where it is used. Raises CodecError or ProofError."""
    cache = SignatureCache()
    identity = ClusterIdentity.from_body(bytes.fromhex(setting["genesis_body"]))

    def client(name: str) -> ClientState:
        return ClientState.decode(bytes.fromhex(setting["clients"][name]))

    if kind == "links":
        file = LinksFile.decode(data)
        reached = follow_all(file.links, identity.validators, file.cluster_id, cache)[-1]
        return (reached.epoch, reached.hash())
    if kind == "update":
        return update(client("active"), Update.decode(data), setting["now_ms"], cache).encode()
    if kind == "evidence":
        read = EvidenceFile.decode(data)
        accused = ClusterIdentity.from_body(read.genesis_body)
        if accused.cluster_id != identity.cluster_id:
            raise ProofError("genesis: of another cluster")
        verdict = judge(read.evidence, Ground.of_genesis(identity), cache)
        return (verdict.epoch, verdict.index, verdict.weight, verdict.total_weight, verdict.accused)
    if kind == "recovery":
        return recover(client("frozen"), RecoveryCertificate.decode(data), setting["now_ms"], cache).encode()
    if kind == "replacement":
        return recover(
            client("recovered"), RecoveryCertificate.decode(data), setting["now_ms"], cache
        ).encode()
    if kind == "higher-replacement":
        whole, path = as_tuple(decode(data, max_depth=8), 2, "recovery and path")
        recovery, tip_path = RecoveryCertificate.from_value(whole), path_from_value(path, "tip path")
        return recover(client("stopped"), recovery, setting["now_ms"], cache, tip_path).encode()
    if kind == "late-evidence":
        return freeze(client("recovered"), ForkEvidence.decode(data), cache)[0].encode()
    if kind == "split-view":
        seer = ClusterIdentity.from_body(bytes.fromhex(setting["seer_genesis_body"]))
        view = SplitView.from_value(opened(data))
        ours = client("active").last.point
        split = view.check(seer.cluster_id, 0, seer.validators, identity.cluster_id, ours, cache)
        return (split.height, split.ours, split.theirs)
    if kind in ("client", "recovered-client"):
        state = ClientState.decode(data)
        return (state.epoch, state.last.height, state.anchor.encode())
    if kind == "anchor":
        anchor = Anchor.decode(data)
        return (anchor.epoch, anchor.point.height, int(anchor.status))
    if kind == "recovery-file":
        footing = footing_of(identity, [RecoveryFile.decode(data)], cache)
        return (footing.incarnation, footing.base_height, footing.origin.epoch, footing.origin.hash())
    recoveries = [bytes.fromhex(setting["recovery_file"])] if kind == "recovered-bundle" else []
    verified = verify(data, trust=identity.cluster_id, recoveries=recoveries)
    return (verified.epoch, verified.height, verified.header.hash)


def refusal(kind: str, data: bytes, setting: dict[str, Any]) -> str | None:
    """The code of the refusal, or None for what is accepted."""
    try:
        outcome(kind, data, setting)
    except CodecError:
        return "malformed"
    except Refused as refused:
        return str(refused.code)
    except ProofError as error:
        return str(error).split(":")[0]
    return None


def damages(value: Any, shape: Shape, path: tuple[int, ...] = (), name: str = "") -> Iterator[Any]:
    """Every field damaged alone: (name of the damage, path, replacement)."""
    if isinstance(shape, dict):
        if value is not None:
            yield from damages(opened(value), shape["in"], path, name)
    elif isinstance(shape, tuple) and value is not None:
        if value:
            yield f"{name}-cut-short", path, value[:-1]
        yield f"{name}-extended", path, (*value, value[-1] if value else bytes(32))
        for position in {0, len(value) - 1} if value else ():
            yield from damages(value[position], shape[0], (*path, position), f"{name}.{position}")
    elif isinstance(shape, list) and value is not None:
        for position, (label, inner) in enumerate(shape):
            place = f"{name}.{label}" if name else label
            yield from damages(value[position], inner, (*path, position), place)
    elif isinstance(value, bytes) and value:
        yield f"{name}-bit-flipped", path, bytes((value[0] ^ 1,)) + value[1:]
        yield f"{name}-cut-short", path, value[:-1]
        yield f"{name}-missing", path, None
    elif isinstance(value, int):
        yield f"{name}-raised", path, value + 1
        yield f"{name}-missing", path, None
    elif isinstance(value, str):
        yield f"{name}-extended", path, value + "x"
    elif value is None:
        yield f"{name}-invented", path, bytes(32)


class Scene:
    """One cluster of three epochs, its forks, and a client that holds header 6."""

    def __init__(self) -> None:
        self.chain = Chain().grow(4, next_set=keys("harbour", (1, 1, 2, 1), first=2))
        self.chain.grow(8, next_set=keys("harbour", (1,) * 4, first=4)).grow(4)
        self.first_fork = self.chain.fork(3).grow(8, salt="b")
        self.fork = self.chain.fork(5).grow(4, salt="b")
        self.ended = self.chain.fork(12)
        state = admit(register(self.chain.identity), Corroboration(is_approved=True))
        cache = SignatureCache()
        self.active = update(state, self.chain.update(0, 6), self.chain.now_ms, cache)
        self.same_height = self.evidence(
            Statement(self.chain.certified(9)), Statement(self.fork.certified(9))
        )
        self.frozen, _ = freeze(self.active, self.same_height, cache)
        self.chain.accusations = (self.frozen.accused, self.frozen.convicted)
        # A recovery whose set holds a key that the evidence shown first does not accuse, and a header of it.
        hiding, operators = keys("harbour", first=5), self.chain.operators
        first = self.chain.recovery(8, hiding, operators, (0, 1, 2), RecoveredBy.OPERATORS, with_links=True)
        later = self.chain.recovered(8, hiding, operators).grow(2)
        taken = recover(self.frozen, first, self.chain.now_ms, cache)
        self.recovered = update(taken, later.update(8, 10), later.now_ms, cache)
        signers = (1, 2, 3)
        first_said, then_said = (
            Statement(branch.certified(8, signers)) for branch in (self.chain, self.fork)
        )
        self.kept_back = self.evidence(first_said, then_said, 8)
        # A client that took a recovery on its tip although nobody is convicted.
        self.honest = self.chain.fork(10)
        self.honest.accusations = ((), None)
        self.stopped = recover(self.active, self.stopping(6), self.chain.now_ms, cache)

    def evidence(self, first: Statement, second: Statement, index: int = 9) -> ForkEvidence:
        return ForkEvidence(ForkKind.TWO_HEADERS, index, self.chain.links(until=1), first, second)

    def known(self) -> dict[str, tuple[str, bytes]]:
        """name -> (kind of object, bytes)."""
        chain = self.chain
        anchors = Anchors({chain.cluster_id: anchor_of(self.fork, 8)})
        seer = Chain("seer").grow(2, anchors_root=anchors.root)
        leaf = self.fork.leaf(6, 8)
        view = SplitView(seer.certified(2), anchors.prove(chain.cluster_id), leaf.header_hash, leaf.path)
        top = chain.certified(15)
        later = CertifiedLater(top.header.encoded, chain.path(7, 15))
        made = Bundle(
            chain.body,
            chain.headers[7].encoded,
            top.certificate,
            later,
            None,
            HeaderStatement(),
            chain.links(),
        )
        two_leaves = self.evidence(
            Statement(chain.certified(11), chain.leaf(7, 11)),
            Statement(self.fork.certified(9), self.fork.leaf(7, 9)),
            7,
        )
        beyond = ForkEvidence(
            ForkKind.BEYOND_THE_END,
            4,
            (),
            Statement(chain.certified(4)),
            Statement(self.first_fork.certified(6)),
        )
        return {
            "links": ("links", chain.links_file().encode()),
            "update-within-the-epoch": ("update", chain.update(6, 10).encode()),
            "update-across-an-epoch": ("update", chain.update(6, 16).encode()),
            "evidence-two-headers": ("evidence", EvidenceFile(chain.body, self.same_height).encode()),
            "evidence-two-leaves": ("evidence", EvidenceFile(chain.body, two_leaves).encode()),
            "evidence-beyond-the-end": ("evidence", EvidenceFile(chain.body, beyond).encode()),
            "recovery-by-operators": ("recovery", self.recovery().encode()),
            "recovery-that-replaces-another": ("replacement", self.recovery(replaces=1).encode()),
            "recovery-that-replaces-another-on-a-higher-header": (
                "higher-replacement",
                encode((self.stopping(10, replaces=1).to_value(), chain.path(6, 10))),
            ),
            "evidence-that-taints-a-recovery": ("late-evidence", self.kept_back.encode()),
            "split-view": ("split-view", encode(view.to_value())),
            "client-active": ("client", self.active.encode()),
            "client-frozen": ("client", self.frozen.encode()),
            "client-recovered": ("recovered-client", self.recovered.encode()),
            "anchor": ("anchor", self.active.anchor.encode()),
            "bundle-of-a-later-epoch": ("bundle", made.encode()),
            "recovery-file": ("recovery-file", self.recovery_file()),
            "bundle-of-a-later-incarnation": ("recovered-bundle", self.recovered_bundle().encode()),
        }

    def recovery(self, replaces: int = 0) -> RecoveryCertificate:
        """The operators recover the branch that was certified first."""
        new, operators, by = (
            keys("harbour", first=20),
            keys("harbour/operator", first=20),
            RecoveredBy.OPERATORS,
        )
        return self.chain.recovery(8, new, operators, (0, 1, 2), by, with_links=True, replaces=replaces)

    def stopping(self, height: int, replaces: int = 0) -> RecoveryCertificate:
        """Its validators recover a cluster of which nothing bad is known."""
        new, operators = keys("harbour", first=30 + replaces), self.chain.operators
        return self.honest.recovery(height, new, operators, (0, 1, 2), replaces=replaces)

    def recovery_file(self) -> bytes:
        return RecoveryFile(self.recovery(), (self.same_height,)).encode()

    def recovered_bundle(self) -> Bundle:
        """Header 7 of the first incarnation, certified by header 12 of the second."""
        new, operators = keys("harbour", first=20), keys("harbour/operator", first=20)
        chain = self.chain.recovered(8, new, operators).grow(2, next_set=keys("harbour", first=24)).grow(2)
        top = chain.certified(12)
        later = CertifiedLater(top.header.encoded, chain.path(7, 12))
        first, statement = chain.headers[7].encoded, HeaderStatement()
        return Bundle(chain.body, first, top.certificate, later, None, statement, chain.links())

    def setting(self) -> dict[str, Any]:
        return {
            "trust": self.chain.cluster_id.hex(),
            "genesis_body": self.chain.body.hex(),
            "seer_genesis_body": Chain("seer").body.hex(),
            "clients": {
                "active": self.active.encode().hex(),
                "frozen": self.frozen.encode().hex(),
                "recovered": self.recovered.encode().hex(),
                "stopped": self.stopped.encode().hex(),
            },
            "recovery_file": self.recovery_file().hex(),
            "now_ms": self.chain.now_ms,
        }

    def forgeries(self) -> Iterator[tuple[str, str, Value]]:
        """What an attacker would submit: (known object, name, whole replacement)."""
        chain, fork = self.chain, self.fork
        within = chain.update(6, 10)

        def submitted(whole: Update) -> Value:
            return decode(whole.encode())

        for height in (7, 8, 9):
            yield "update-within-the-epoch", f"other-branch-at-{height}", submitted(fork.update(6, height))
        own_path = replace(fork.update(6, 9), tip_path=chain.path(6, 9))
        yield "update-within-the-epoch", "other-branch-with-our-path", submitted(own_path)
        rewritten = chain.fork(4).grow(6, salt="c")
        yield (
            "update-within-the-epoch",
            "history-rewritten-before-the-tip",
            submitted(rewritten.update(6, 10)),
        )
        for name, signing, signers in (
            ("certificate-of-the-retired-set", chain.sets[0], None),
            ("certificate-of-strangers", keys("stranger"), None),
            ("certificate-of-three-fifths", chain.sets[1], (0, 1, 3)),
        ):
            top = certify(chain.headers[10], signing, signers)
            yield "update-within-the-epoch", name, submitted(replace(within, certified=top))
        raised = changed(chain.headers[10], incarnation=1)
        top = certify(raised, chain.sets[1])
        yield (
            "update-within-the-epoch",
            "incarnation-raised-and-signed",
            submitted(replace(within, certified=top)),
        )
        across = chain.update(6, 16)
        yield "update-across-an-epoch", "link-missing", submitted(replace(across, links=()))
        early = replace(across, links=chain.links())
        yield "update-across-an-epoch", "link-of-an-epoch-that-is-over", submitted(early)
        for name, second in (
            ("one-statement-twice", Statement(chain.certified(9))),
            ("history-that-agrees", Statement(chain.certified(11), chain.leaf(9, 11))),
            ("header-of-another-height", Statement(fork.certified(8))),
            ("header-of-the-next-epoch", Statement(chain.certified(14), chain.leaf(9, 14))),
        ):
            file = EvidenceFile(chain.body, self.evidence(Statement(chain.certified(9)), second))
            yield "evidence-two-headers", name, opened(file.encode())


def write() -> None:
    """Write both files; a damage that is accepted ends it loudly."""
    scene = Scene()
    setting = scene.setting()
    known = scene.known()
    cases: list[dict[str, Any]] = []

    def add(of: str, name: str, path: tuple[int, ...], new: Value) -> None:
        kind, data = known[of]
        code = refusal(kind, encode(replaced(opened(data), path, new)), setting)
        if code is None:
            raise SystemExit(f"{of}: {name} was accepted")
        cases.append({"of": of, "name": name, "at": path, "value": to_json(new), "refused": code})

    for of, (kind, data) in known.items():
        for name, path, new in damages(opened(data), SHAPES[kind]):
            data_damaged = encode(replaced(opened(data), path, new))
            if (kind in UNBOUND or (kind, name) in HARMLESS) and not refusal(kind, data_damaged, setting):
                continue
            add(of, name, path, new)
    for of, name, whole in scene.forgeries():
        add(of, name, (), whole)
    objects = [
        {"name": name, "object": kind, "bytes": data.hex(), "result": to_json(outcome(kind, data, setting))}
        for name, (kind, data) in known.items()
    ]
    text = json.dumps({**setting, "objects": objects}, indent=1)
    (VECTORS / "federation_known.json").write_text(text + "\n")
    lines = ",\n ".join(json.dumps(case) for case in cases)
    (VECTORS / "federation_damaged.json").write_text(f"[\n {lines}\n]\n")


if __name__ == "__main__":
    write()
