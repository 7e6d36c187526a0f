"""Golden bundles and their damages: how tests/vectors/bundle*.json were made, and how they are read.

`bundle_known.json` holds bundles of a small cluster as files. `bundle_damaged.json` describes each damage as
one replacement at a path inside a known bundle; a path may go through byte strings that are canonical
themselves (a header, a receipt). The ledger may learn to execute differently, but these files must verify
for ever, so they are written once: `python -m tests.node.anchoring.bundle_vectors`.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from consensus import SigningKey, Value, bitmap_of, decode, digest, encode
from node.anchoring import Bundle, verify
from node.api.bundles import header_bundle, state_bundle, transaction_bundle
from node.proofs import ProofError
from node.proofs.header import Header
from tests.node.anchoring.chain import Chain, certificate, put, small_chain
from tests.node.proofs.vector_files import VECTORS

HEADER = [
    "version",
    "incarnation",
    "cluster_id",
    "epoch",
    "height",
    "parent_hash",
    "block_id",
    "time_ms",
    "tx_root",
    "receipt_root",
    "state_root",
    "outbox_root",
    "history_root",
    "anchors_root",
    "validators_hash",
    "next_validators_hash",
]
CERTIFICATE = ["incarnation", "epoch", "height", "block_id", "header_hash", "signers", "signatures"]
BUNDLE = [
    "magic",
    "kind",
    "genesis-body",
    "epoch-links",
    "header",
    "certificate",
    "certified-header",
    "history-path",
    "checkpoint",
    "statement",
]
CHECKPOINT = ["height", "header-hash", "path"]
RECEIPT = ["version", "tx-id", "height", "index", "status", "result", "writes-hash"]
BODY = ["version", "cluster-id", "sender", "unique-id", "expires-at-ms", "app", "method", "args"]
TRANSACTION = ["transaction", "receipt", "index", "size", "transaction-path", "receipt-path"]
STATE = ["key", "value", "proof"]
PROOF = ["depth", "bitmap", "siblings", "other-leaf"]

Damage = tuple[str, tuple[int, ...], Value]
"""(name, path, replacement)."""


def opened(data: bytes) -> Any:
    """`decode`, for reaching into values whose shape the reader of this file knows."""
    return decode(data)


FULLY_DAMAGED = (
    "transaction-proven-by-later-header",
    "state-present",
    "state-absent",
    "header-with-checkpoint",
)
"""The known bundles in which every single field is damaged; together they have every kind of field."""


def known_bundles(chain: Chain) -> dict[str, Bundle]:
    """One bundle of every kind and of every way to a certificate."""
    cluster, transactions = chain.genesis, chain.transactions
    with chain.store.snapshot() as view:
        return {
            "transaction": transaction_bundle(view, cluster, transactions[5][1].id),
            "transaction-proven-by-later-header": transaction_bundle(view, cluster, transactions[4][4].id),
            "transaction-failed": transaction_bundle(view, cluster, transactions[2][1].id),
            "state-present": state_bundle(view, cluster, chain.record_key("g")),
            "state-absent": state_bundle(view, cluster, b"records/current/files/zz"),
            "header": header_bundle(view, cluster, 5),
            "header-of-genesis": header_bundle(view, cluster, 0),
            "header-with-checkpoint": header_bundle(view, cluster, 1, checkpoint=4),
        }


def replaced(value: Any, path: Sequence[int], new: Value) -> Any:
    """`value` with `new` at `path`; byte strings on the way are opened and closed again."""
    if not path:
        return new
    if isinstance(value, bytes):
        return encode(replaced(opened(value), path, new))
    items = list(value)
    if path[0] == len(items):
        items.append(new)
    else:
        items[path[0]] = replaced(items[path[0]], path[1:], new)
    return tuple(items)


def to_json(value: Value) -> Any:
    """A canonical value in JSON: byte strings as {"hex": ...}."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    return [to_json(item) for item in value] if isinstance(value, tuple) else value


def from_json(value: Any) -> Any:
    """The inverse of `to_json`."""
    if isinstance(value, dict):
        return bytes.fromhex(value["hex"])
    return tuple(from_json(item) for item in value) if isinstance(value, list) else value


def field_damages(value: Any) -> Iterator[Damage]:
    """Every field of a bundle damaged alone: a bit flipped, a number raised, a text or a list extended."""
    # Without its checkpoint a bundle says less, which is for the reader to judge.
    yield from (damage for damage in _each(value, BUNDLE, (), "") if damage[0] != "checkpoint-missing")
    yield from _each(opened(value[4]), HEADER, (4,), "header.")
    yield from _each(value[5], CERTIFICATE, (5,), "certificate.")
    if value[6] is not None:
        yield from _each(opened(value[6]), HEADER, (6,), "certified-header.")
        yield from _each(value[7], [str(level) for level in range(64)], (7,), "history-path.")
    if value[8] is not None:
        yield from _each(value[8], CHECKPOINT, (8,), "checkpoint.")
    statement = value[9]
    if value[1] == 1:
        # `size` is a hint for the shape of the paths and no claim: cases of its own stand below.
        yield from (
            damage for damage in _each(statement, TRANSACTION, (9,), "statement.") if damage[1] != (9, 3)
        )
        yield from _each(opened(opened(statement[0])[0]), BODY, (9, 0, 0), "body.")
        yield from _each(opened(statement[0]), ["body", "signature"], (9, 0), "envelope.")
        yield from _each(opened(statement[1]), RECEIPT, (9, 1), "receipt.")
    if value[1] == 2:
        yield from _each(statement, STATE, (9,), "statement.")
        yield from _each(statement[2], PROOF, (9, 2), "proof.")


def _each(fields: Any, names: Sequence[str], path: tuple[int, ...], prefix: str) -> Iterator[Damage]:
    for position, field in enumerate(fields):
        place, name = (*path, position), prefix + names[position]
        if isinstance(field, bytes) and field:
            yield f"{name}-bit-flipped", place, bytes((field[0] ^ 1,)) + field[1:]
            yield f"{name}-cut-short", place, field[:-1]
        elif isinstance(field, int):
            yield f"{name}-raised", place, field + 1
        elif isinstance(field, str):
            yield f"{name}-extended", place, field + "x"
        elif isinstance(field, tuple):
            yield f"{name}-extended", place, (*field, bytes(32))
            if field:
                yield f"{name}-cut-short", place, field[:-1]
        else:
            yield f"{name}-invented", place, bytes(32)
        if field is not None:
            yield f"{name}-missing", place, None


def forgeries(chain: Chain, known: dict[str, Bundle]) -> Iterator[tuple[str, str, tuple[int, ...], Value]]:
    """What an attacker would try: (known bundle, name, path, replacement)."""
    headers = chain.headers
    foreign = SigningKey(b"\x77" * 32)
    weak = certificate(headers[5], (0, 1, 2)).to_value()
    yield "header", "certificate-of-three-fifths-of-the-weight", (5,), weak
    signers = certificate(headers[5], (1, 2, 3))
    stranger = foreign.sign(signers.digest(headers[5].cluster_id)) + signers.signatures[64:]
    yield "header", "certificate-with-a-stranger's-signature", (5, 6), stranger
    swapped = signers.signatures[64:128] + signers.signatures[:64] + signers.signatures[128:]
    yield "header", "certificate-with-signatures-in-another-order", (5, 6), swapped
    yield "header", "certificate-bitmap-beyond-the-set", (5, 5), bitmap_of((1, 2, 3, 4), 8)
    yield "header", "certificate-of-another-header", (5,), certificate(headers[3]).to_value()
    yield "header", "kind-transaction-without-statement", (1,), 1
    yield "header", "kind-unknown", (1,), 4
    yield "header", "eleventh-field", (10,), None
    yield "header", "certified-header-without-path", (6,), headers[7].encoded
    yield "header", "path-without-certified-header", (7,), ()
    yield "header-of-genesis", "another-header-in-its-place", (4,), headers[1].encoded
    yield "header-of-genesis", "certified-header-itself-as-its-past", (4,), headers[3].encoded
    yield "header-with-checkpoint", "checkpoint-of-another-header", (8, 1), headers[2].hash
    yield "header-with-checkpoint", "checkpoint-above-the-certified-header", (8, 0), 6
    statement = opened(known["transaction"].encode())[9]
    yield "transaction", "size-zero", (9, 3), 0
    yield "transaction", "size-not-above-index", (9, 3), 1
    yield "transaction", "size-of-longer-paths", (9, 3), 3
    yield "transaction", "index-of-the-neighbour", (9, 2), 0
    other = put(chain.genesis, 99, "never-sent")
    yield "transaction", "transaction-that-was-never-ordered", (9, 0), other.encoded
    body, _ = opened(chain.transactions[5][1].encoded)
    resigned = encode((body, foreign.sign(digest("isthmus/transaction/v1", body))))
    yield "transaction", "transaction-signed-by-another-key", (9, 0), resigned
    with chain.store.snapshot() as view:
        neighbour = transaction_bundle(view, chain.genesis, chain.transactions[5][0].id)
    near = opened(neighbour.encode())[9]
    yield "transaction", "receipt-of-the-neighbour", (9, 1), near[1]
    mixed = (statement[0], near[1], 1, 2, statement[4], near[5])
    yield "transaction", "receipt-and-path-of-the-neighbour", (9,), mixed
    last = opened(known["transaction-proven-by-later-header"].encode())[9]
    claimed = (*last[:2], 1, 2, *last[4:])
    yield "transaction-proven-by-later-header", "last-leaf-of-5-claimed-as-leaf-1-of-2", (9,), claimed
    yield "state-present", "claimed-absent", (9, 1), None
    yield "state-present", "older-value", (9, 1), b"older"
    yield "state-absent", "claimed-present", (9, 1), b"value"
    present = opened(known["state-present"].encode())[9]
    yield "state-absent", "proof-of-another-key", (9, 2), present[2]
    for name, changed in (("incarnation-1", {"incarnation": 1}), ("epoch-1", {"epoch": 1})):
        yield (
            "header",
            f"{name}-signed-by-the-same-quorum",
            (),
            _resigned(known["header"], headers[5], changed),
        )
    outsiders = {"validators_hash": bytes(32)}
    yield "header", "other-validators-hash-signed", (), _resigned(known["header"], headers[5], outsiders)
    abroad = {"cluster_id": digest("test/cluster")}
    yield "header", "header-of-another-cluster-signed", (), _resigned(known["header"], headers[5], abroad)


def _resigned(bundle: Bundle, header: Header, changed: dict[str, Any]) -> Any:
    """The header bundle with fields of its header changed and the certificate made anew over it."""
    names = HEADER[1:]
    header = Header.make(**({name: getattr(header, name) for name in names} | changed))
    value = replaced(opened(bundle.encode()), (4,), header.encoded)
    return replaced(value, (5,), certificate(header).to_value())


def write() -> None:
    """Write both files, with the step that refuses each damage; damages that were accepted end it loudly."""
    chain = small_chain()
    trust = chain.genesis.cluster_id
    known = known_bundles(chain)
    damages = [
        (of, name, path, new)
        for of in FULLY_DAMAGED
        for name, path, new in field_damages(opened(known[of].encode()))
    ]
    damages += list(forgeries(chain, known))
    cases = []
    for of, name, path, new in damages:
        data = encode(replaced(opened(known[of].encode()), path, new))
        try:
            verify(data, trust=trust)
        except ProofError as error:
            step = str(error).split(":")[0]
        else:
            raise SystemExit(f"{of}: {name} was accepted")
        cases.append({"of": of, "name": name, "at": path, "value": to_json(new), "refused": step})
    bundles = []
    for name, bundle in known.items():
        verified = verify(bundle.encode(), trust=trust)
        bundles.append(
            {
                "name": name,
                "height": verified.height,
                "time_ms": verified.time_ms,
                "header_hash": verified.header.hash.hex(),
                "bundle": bundle.encode().hex(),
            }
        )
    _dump("bundle_known", {"trust": trust.hex(), "bundles": bundles})
    _dump("bundle_damaged", cases)


def _dump(name: str, content: Any) -> None:
    lines = ",\n ".join(json.dumps(item) for item in content) if isinstance(content, list) else None
    text = f"[\n {lines}\n]" if lines else json.dumps(content, indent=1)
    (VECTORS / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    write()
