"""Golden objects of lanes and couriers, and their damages: how tests/vectors/lanes_*.json were made.

`lanes_known.json` holds encodings with the hashes that others must compute alike; `lanes_damaged.json` holds
encodings that every reader must refuse, each named after its damage, with the words of the refusal. Written
once by `python -m tests.node.anchoring.lanes.vectors`; they must read the same for ever.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from consensus import CodecError, Digest, Value, digest, encode
from node.anchoring.lanes.courier import BundleRequest, Offer
from node.anchoring.lanes.inbound import (
    INBOUND_BYTES_MAX,
    INBOUND_LEAVES_MAX,
    BundledLeaf,
    InboundBundle,
    check,
)
from node.anchoring.lanes.messages import (
    ANSWER_BYTES_MAX,
    MESSAGE_PAYLOAD_BYTES_MAX,
    SEQUENCE_MAX,
    WINDOW,
    Acknowledgement,
    Closing,
    Gap,
    Lane,
    Leaf,
    Message,
    Mode,
    Result,
    decode_leaf,
)
from node.anchoring.lanes.outbox import CommonPrefix, OutboxProof, prove_common, prove_leaf
from node.anchoring.lanes.progress import Progress
from node.anchoring.lanes.views import AnchoredView
from node.proofs import ProofError
from tests.node.anchoring.lanes.islands import MemoryOutbox
from tests.node.proofs.vector_files import VECTORS

SOURCE = digest("test/cluster", b"harbour")
DESTINATION = digest("test/cluster", b"customs")
THIRD = digest("test/cluster", b"railway")
DEADLINE_MS = 1_700_000_005_000


def lane(port: str = "records", mode: Mode = Mode.ORDERED) -> Lane:
    return Lane(SOURCE, DESTINATION, port, mode)


def message(sequence: int, payload: bytes, **changed: Any) -> Message:
    fields = {"deadline_ms": DEADLINE_MS, "acked_floor": max(0, sequence - 3), "incarnation": 0}
    return Message.make(lane(), sequence=sequence, payload=payload, **(fields | changed))


def known_leaves() -> dict[str, Leaf]:
    first = message(1, b"share files/a")
    largest = Message.make(
        lane("p" * 64, Mode.UNORDERED),
        sequence=SEQUENCE_MAX,
        deadline_ms=2**63 - 1,
        acked_floor=SEQUENCE_MAX - WINDOW,
        incarnation=2**63 - 1,
        payload=bytes(MESSAGE_PAYLOAD_BYTES_MAX),
    )
    return {
        "message-first": first,
        "message-with-floor": message(9, b"", incarnation=1),
        "message-largest": largest,
        "acknowledgement-ok": Acknowledgement.make(first, Result.OK, b"stored"),
        "acknowledgement-error": Acknowledgement.make(first, Result.ERROR, b"denied-by-policy"),
        "acknowledgement-expired": Acknowledgement.make(first, Result.EXPIRED, b""),
        "closing": Closing.make(lane(), 300, 12),
        "closing-with-gaps": Closing.make(lane(), 300, 0, ((9, 200), (201, 300))),
        "gap": Gap.make(lane(), 9, 300),
        "acknowledgement-largest": Acknowledgement.make(largest, Result.ERROR, bytes(ANSWER_BYTES_MAX)),
    }


def outbox() -> tuple[MemoryOutbox, bytes]:
    """Seven messages to one cluster, two to another, in two blocks; and the outbox root."""
    box = MemoryOutbox()
    box.apply([(DESTINATION, message(number, b"%d" % number).encoded) for number in range(1, 5)])
    said = [(DESTINATION, message(number, b"%d" % number).encoded) for number in range(5, 8)]
    return box, box.apply([*said, (THIRD, b"\x01"), (THIRD, b"\x02")])


def bundle() -> tuple[InboundBundle, AnchoredView]:
    box, root = outbox()
    proofs = [prove_leaf(box, DESTINATION, index) for index in (0, 5, 6)]
    leaves = tuple(
        BundledLeaf(proof.index, box.leaves[DESTINATION][proof.index], proof.path) for proof in proofs
    )
    view = AnchoredView(SOURCE, 0, 12, DEADLINE_MS - 5_000, Digest(root), True)
    return InboundBundle(SOURCE, None, proofs[0].log, leaves), view


def request() -> BundleRequest:
    incoming = (Progress("records", Mode.UNORDERED, 5, (7, 9, 20)), Progress("registry", Mode.ORDERED, 2))
    return BundleRequest(1, 77, incoming, (Progress("records", Mode.ORDERED, 3),), 64, 512 * 1024)


# --- readers, by the kind a case names -----------------------------------------------------------------


def _read_proof(data: bytes) -> None:
    box, root = outbox()
    OutboxProof.decode(data).verify(root, DESTINATION, box.leaves[DESTINATION][5])


def _read_bundle(data: bytes) -> None:
    _, view = bundle()
    check(InboundBundle.decode(data), DESTINATION, view, _no_update)


def _no_update(update: bytes) -> AnchoredView:
    raise ProofError("these vectors bring no updates")


def prefix() -> tuple[CommonPrefix, int, bytes, bytes]:
    """What is shared by a branch that said seven things and one that was heard to say five, of which three
    are the same: the prefix, the size and root of the log that was heard, and the chosen outbox root."""
    chosen, root = outbox()
    dropped = MemoryOutbox()
    leaves = [*chosen.leaves[DESTINATION][:3], *(message(number, b"other").encoded for number in (4, 5))]
    dropped.apply([(DESTINATION, leaf) for leaf in leaves])
    made = prove_common(chosen, dropped, DESTINATION, 3, 5)
    assert made is not None
    return made, 5, dropped.log(DESTINATION).root(), root


def _read_prefix(data: bytes) -> None:
    _, *heard = prefix()
    CommonPrefix.decode(data).verify(*heard, DESTINATION)


READERS: dict[str, Callable[[bytes], object]] = {
    "leaf": decode_leaf,
    "outbox-proof": _read_proof,
    "inbound-bundle": _read_bundle,
    "common-prefix": _read_prefix,
    "bundle-request": BundleRequest.decode,
    "offer": Offer.decode,
}


def refusal(kind: str, data: bytes) -> str | None:
    """The words with which a reader refuses `data`; None when it does not."""
    try:
        READERS[kind](data)
    except (CodecError, ProofError) as error:
        return str(error)
    return None


# --- damages -------------------------------------------------------------------------------------------

Damaged = Iterator[tuple[str, str, bytes]]


def _changed(fields: tuple[Value, ...], place: int, value: Value) -> bytes:
    return encode((*fields[:place], value, *fields[place + 1 :]))


def leaf_damages() -> Damaged:
    """(kind, name, bytes) of messages and acknowledgements."""
    ends = lane().to_value()
    assert isinstance(ends, tuple)
    sent: tuple[Value, ...] = (1, 1, ends, 300, DEADLINE_MS, 290, 0, b"payload")
    for name, place, value in (
        ("version-2", 0, 2),
        ("kind-5", 1, 5),
        ("sequence-zero", 3, 0),
        ("sequence-beyond-63-bits", 3, 2**63),
        ("deadline-beyond-63-bits", 4, 2**63),
        ("deadline-negative", 4, -1),
        ("floor-at-its-own-sequence", 5, 300),
        ("floor-below-the-window", 5, 300 - WINDOW - 1),
        ("incarnation-negative", 6, -1),
        ("payload-one-byte-too-long", 7, bytes(MESSAGE_PAYLOAD_BYTES_MAX + 1)),
        ("payload-text", 7, "payload"),
        ("payload-missing", 7, None),
        ("lane-to-itself", 2, (SOURCE, SOURCE, "records", 1)),
        ("lane-source-short", 2, (SOURCE[:31], DESTINATION, "records", 1)),
        ("lane-port-empty", 2, (SOURCE, DESTINATION, "", 1)),
        ("lane-port-with-a-slash", 2, (SOURCE, DESTINATION, "a/b", 1)),
        ("lane-port-upper-case", 2, (SOURCE, DESTINATION, "Records", 1)),
        ("lane-port-65-characters", 2, (SOURCE, DESTINATION, "p" * 65, 1)),
        ("lane-mode-zero", 2, (SOURCE, DESTINATION, "records", 0)),
        ("lane-mode-3", 2, (SOURCE, DESTINATION, "records", 3)),
        ("lane-cut-short", 2, ends[:3]),
    ):
        yield "leaf", f"message-{name}", _changed(sent, place, value)
    yield "leaf", "message-ninth-field", encode((*sent, 0))
    yield "leaf", "message-cut-short", encode(sent[:7])
    yield "leaf", "message-followed-by-a-byte", encode(sent) + b"\x00"
    yield (
        "leaf",
        "message-sequence-not-minimal",
        _changed(sent, 3, 5).replace(b"\x05\xcf", b"\xcc\x05\xcf", 1),
    )
    yield "leaf", "empty", b""
    yield "leaf", "no-array", encode(7)
    told: tuple[Value, ...] = (1, 2, ends, 1, bytes(32), 1, b"answer")
    for name, place, value in (
        ("sequence-zero", 3, 0),
        ("hash-short", 4, bytes(31)),
        ("hash-missing", 4, None),
        ("result-zero", 5, 0),
        ("result-4", 5, 4),
        ("answer-one-byte-too-long", 6, bytes(ANSWER_BYTES_MAX + 1)),
    ):
        yield "leaf", f"acknowledgement-{name}", _changed(told, place, value)
    yield "leaf", "acknowledgement-of-a-message's-length", encode((*told, 0))


def closing_damages() -> Damaged:
    """(kind, name, bytes) of closings and gaps."""
    ends = lane().to_value()
    shut: tuple[Value, ...] = (1, 3, ends, 300, 12, ((9, 20),))
    for name, place, value in (
        ("sequence-zero", 3, 0),
        ("sequence-beyond-63-bits", 3, 2**63),
        ("reopened-negative", 4, -1),
        ("reopened-missing", 4, None),
        ("lane-to-itself", 2, (SOURCE, SOURCE, "records", 1)),
        ("gaps-missing", 5, None),
        ("gap-of-zero", 5, ((0, 20),)),
        ("gap-backwards", 5, ((20, 9),)),
        ("gap-above-what-is-closed", 5, ((9, 301),)),
        ("gaps-that-overlap", 5, ((9, 20), (20, 30))),
        ("257-gaps", 5, tuple((number, number) for number in range(1, 258))),
    ):
        yield "leaf", f"closing-{name}", _changed(shut, place, value)
    yield "leaf", "closing-seventh-field", encode((*shut, 0))
    yield "leaf", "closing-cut-short", encode(shut[:5])
    void: tuple[Value, ...] = (1, 4, ends, 9, 300)
    for name, place, value in (
        ("first-zero", 3, 0),
        ("backwards", 4, 8),
        ("last-beyond-63-bits", 4, 2**63),
        ("lane-to-itself", 2, (SOURCE, SOURCE, "records", 1)),
    ):
        yield "leaf", f"gap-{name}", _changed(void, place, value)
    yield "leaf", "gap-sixth-field", encode((*void, 0))
    yield "leaf", "gap-cut-short", encode(void[:4])


def proof_damages() -> Damaged:
    """(kind, name, bytes) of the proof of leaf 5 of seven."""
    box, _ = outbox()
    proof = prove_leaf(box, DESTINATION, 5)
    log = proof.log
    others = prove_leaf(box, THIRD, 1)
    for name, damaged in (
        ("index-of-the-neighbour", replace(proof, index=4)),
        ("index-beyond-the-log", replace(proof, index=7)),
        ("path-cut-short", replace(proof, path=proof.path[:-1])),
        ("path-extended", replace(proof, path=(*proof.path, bytes(32)))),
        ("path-in-another-order", replace(proof, path=proof.path[::-1])),
        ("path-hash-bit-flipped", replace(proof, path=(_flipped(proof.path[0]), *proof.path[1:]))),
        ("log-one-leaf-longer", replace(proof, log=replace(log, size=8))),
        ("log-one-leaf-shorter", replace(proof, log=replace(log, size=6))),
        ("log-root-bit-flipped", replace(proof, log=replace(log, root=Digest(_flipped(log.root))))),
        ("log-of-another-destination", replace(proof, log=others.log)),
    ):
        yield "outbox-proof", name, damaged.encode()
    entry = log.to_value()
    assert isinstance(entry, tuple)
    yield "outbox-proof", "log-size-zero", encode(((0, *entry[1:]), 5, proof.path))
    yield "outbox-proof", "path-hash-of-31-bytes", encode((entry, 5, (proof.path[0][:31], *proof.path[1:])))
    yield "outbox-proof", "path-of-65-hashes", encode((entry, 5, (bytes(32),) * 65))
    state = entry[2]
    assert isinstance(state, tuple)
    absent = (*entry[:2], (*state[:3], bytes(64)))
    yield "outbox-proof", "log-proof-names-another-leaf", encode((absent, 5, proof.path))
    yield "outbox-proof", "fourth-field", encode((entry, 5, proof.path, None))


def prefix_damages() -> Damaged:
    """(kind, name, bytes) of what two branches share."""
    made, *_ = prefix()
    foreign = prove_leaf(outbox()[0], THIRD, 0).log
    for name, damaged in (
        ("one-leaf-longer", replace(made, size=4)),
        ("one-leaf-shorter", replace(made, size=2)),
        ("root-bit-flipped", replace(made, root=Digest(_flipped(made.root)))),
        ("paths-exchanged", replace(made, path_to_dropped=made.path_to_chosen)),
        ("path-to-the-dropped-cut-short", replace(made, path_to_dropped=made.path_to_dropped[:-1])),
        ("path-to-the-chosen-cut-short", replace(made, path_to_chosen=made.path_to_chosen[:-1])),
        ("log-of-another-destination", replace(made, chosen=foreign)),
    ):
        yield "common-prefix", name, damaged.encode()
    rest = (made.root, made.path_to_dropped, made.path_to_chosen)
    yield "common-prefix", "size-zero", encode((made.chosen.to_value(), 0, *rest))
    yield "common-prefix", "sixth-field", encode((made.chosen.to_value(), made.size, *rest, None))


def bundle_damages() -> Damaged:
    """(kind, name, bytes) of a bundle of three leaves, and of what couriers ask."""
    whole, _ = bundle()
    first, second, third = whole.leaves
    assert whole.log is not None
    foreign = prove_leaf(outbox()[0], THIRD, 0).log
    for name, damaged in (
        ("of-another-cluster", replace(whole, source=THIRD)),
        ("leaves-swapped-under-their-indices", _swapped(whole)),
        ("leaf-brought-twice", replace(whole, leaves=(first, second, second))),
        ("leaf-bit-flipped", replace(whole, leaves=(replace(first, leaf=_flipped(first.leaf)),))),
        ("log-of-another-destination", replace(whole, log=foreign)),
        ("log-missing", replace(whole, log=None)),
        ("leaves-missing", replace(whole, leaves=())),
        ("empty", replace(whole, log=None, leaves=())),
        ("path-of-the-neighbour", replace(whole, leaves=(first, replace(second, path=third.path)))),
    ):
        yield "inbound-bundle", name, damaged.encode()
    leaf = (0, first.leaf, first.path)
    many = tuple((index, b"", ()) for index in range(INBOUND_LEAVES_MAX + 1))
    log = whole.log.to_value()
    yield "inbound-bundle", "version-1", encode((1, SOURCE, None, log, (leaf,)))
    yield "inbound-bundle", "65-leaves", encode((2, SOURCE, None, log, many, None, (), ()))
    yield "inbound-bundle", "update-text", encode((2, SOURCE, "update", log, (leaf,), None, (), ()))
    yield "bundle-request", "leaves-max-zero", encode((2, 0, 0, (), (), 0, INBOUND_BYTES_MAX, 0, (), ()))
    yield "bundle-request", "bytes-max-too-small", encode((2, 0, 0, (), (), 1, 1, 0, (), ()))
    wide = (("records", 1, 0, b"\x01\x00"),)
    yield "bundle-request", "bitmap-padded", encode((2, 0, 0, wide, (), 1, INBOUND_BYTES_MAX, 0, (), ()))
    yield "bundle-request", "65-lanes", encode((2, 0, 0, wide * 65, (), 1, INBOUND_BYTES_MAX, 0, (), ()))
    yield (
        "bundle-request",
        "roster-epoch-negative",
        encode((2, 0, 0, (), (), 1, INBOUND_BYTES_MAX, -1, (), ())),
    )
    yield "bundle-request", "version-1", encode((1, 0, 0, (), (), 1, INBOUND_BYTES_MAX, 0, (), ()))
    state = log[2] if isinstance(log, tuple) else None
    for name, roster in (
        ("roster-text", ("roster", state)),
        ("roster-without-proof", (b"roster",)),
        ("roster-too-long", (bytes(64 * 1024 + 1), state)),
    ):
        yield "inbound-bundle", name, encode((2, SOURCE, None, None, (), roster, (), ()))
    request_of = (2, 0, 0, (), (), 1, INBOUND_BYTES_MAX, 0)
    yield "bundle-request", "about-five-clusters", encode((*request_of, (THIRD,) * 5, ()))
    yield "bundle-request", "about-a-short-id", encode((*request_of, (THIRD[1:],), ()))
    yield "bundle-request", "nine-places", encode((*request_of, (), tuple(range(9))))
    for name, views, places in (
        ("five-views", ((1,),) * 5, ()),
        ("view-cut-short", ((b"", None),), ()),
        ("nine-places", (), ((1, bytes(32), ()),) * 9),
        ("place-hash-short", (), ((1, bytes(31), ()),)),
    ):
        yield "inbound-bundle", name, encode((2, SOURCE, None, log, (leaf,), None, views, places))
    yield "offer", "version-1", encode((1, 0, 0, 0))
    yield "offer", "log-size-beyond-63-bits", encode((2, 0, 0, 2**63))


def _flipped(data: bytes) -> bytes:
    return bytes((data[0] ^ 1,)) + data[1:]


def _swapped(whole: InboundBundle) -> InboundBundle:
    first, second, third = whole.leaves
    return replace(whole, leaves=(replace(first, leaf=second.leaf), replace(second, leaf=first.leaf), third))


def write() -> None:
    """Write both files; a damage that is accepted ends it loudly."""
    leaves = []
    for name, leaf in known_leaves().items():
        case = {"name": name, "encoded": leaf.encoded.hex()}
        if isinstance(leaf, Message):
            case["message_hash"] = leaf.hash.hex()
        leaves.append(case)
    box, root = outbox()
    whole, _ = bundle()
    known = {
        "leaves": leaves,
        "outbox": {
            "said": [
                {"destination": to.hex(), "leaves": [leaf.hex() for leaf in said]}
                for to, said in box.leaves.items()
            ],
            "outbox_root": root.hex(),
            "proofs": [
                {"destination": to.hex(), "index": index, "proof": prove_leaf(box, to, index).encode().hex()}
                for to, said in box.leaves.items()
                for index in range(len(said))
            ],
        },
        "inbound_bundle": whole.encode().hex(),
        "bundle_request": request().encode().hex(),
        "offer": Offer(1, 77, 12).encode().hex(),
        "common_prefix": prefix()[0].encode().hex(),
    }
    damaged = []
    for kind, name, data in (
        *leaf_damages(),
        *closing_damages(),
        *proof_damages(),
        *prefix_damages(),
        *bundle_damages(),
    ):
        words = refusal(kind, data)
        if words is None:
            raise SystemExit(f"{kind}: {name} was accepted")
        damaged.append({"kind": kind, "name": name, "encoded": data.hex(), "refused": words})
    (VECTORS / "lanes_known.json").write_text(json.dumps(known, indent=1) + "\n")
    lines = ",\n ".join(json.dumps(item) for item in damaged)
    (VECTORS / "lanes_damaged.json").write_text(f"[\n {lines}\n]\n")


if __name__ == "__main__":
    write()
