"""Golden vectors of questions, pages, outbox bundles and message files, and damaged ones by their damage.

Made once by `python -m tests.node.anchoring.test_question_vectors`; they must read the same for ever.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consensus import CodecError, SigningKey, Value, decode, encode
from node.anchoring.bundles.bundle import Bundle, BundleKind
from node.anchoring.bundles.facts import OutboxFact
from node.anchoring.bundles.message import MessageFile, verify_message
from node.anchoring.bundles.verification import verify
from node.anchoring.lanes.courier import LeafName
from node.anchoring.lanes.messages import Mode
from node.anchoring.questions import (
    CatalogueAsked,
    Credential,
    Listed,
    Page,
    Question,
    StateAsked,
)
from node.ledger.federation.reading import credential, outbox_bundle
from node.proofs import ProofError
from tests.node.ledger.federation.cluster import Cluster, federate
from tests.node.proofs.vector_files import VECTORS

FILE = Path(VECTORS) / "questions.json"
ASKING, ASKED, UNIQUE = b"\x01" * 32, b"\x02" * 32, b"\x03" * 16
KEY = SigningKey(b"\x04" * 32)


def current() -> dict[str, Any]:
    a, b = Cluster("ports.alpha"), Cluster("ports.beta")
    federate(a, b)
    a.put("port/manifest")
    a.share("port/manifest", b)
    assert b.pull(a) is not None
    sent = outbox_bundle(a.reader, b.id, LeafName(False, "records", Mode.UNORDERED, 1))
    answered = outbox_bundle(b.reader, a.id, LeafName(True, "records", Mode.UNORDERED, 1))
    sent, answered = sent.of_genesis(a.genesis.body), answered.of_genesis(b.genesis.body)
    state = Question.sign(KEY, ASKING, ASKED, UNIQUE, 1_700_000_000_000, StateAsked("records/port/manifest"))
    search = Question.sign(KEY, ASKING, ASKED, UNIQUE, 1, CatalogueAsked("berth", "records/port/a"))
    page = Page(7, (Listed("records/port/manifest", "record", "acme", 1, 5),), "records/port/manifest")
    shown = credential(a.reader, a.alice.public_key)
    assert shown is not None
    known = {
        "question about the state": state.encoded,
        "question about the catalogue": search.encoded,
        "credential": shown,
        "page": page.encode(),
        "outbox bundle": sent.encode(),
        "message file": MessageFile(sent, answered).encode(),
        "source": a.id,
        "destination": b.id,
    }
    return {name: bytes(data).hex() for name, data in known.items()}


def golden(name: str) -> bytes:
    return bytes.fromhex(json.loads(FILE.read_text())[name])


def changed(value: Value, at: tuple[int, ...], instead: Value) -> Value:
    """The value with another one at a path of positions; a byte string on the way is opened."""
    if not at:
        return instead
    if isinstance(value, bytes):
        return encode(changed(decode(value), at, instead))
    assert isinstance(value, tuple)
    place = at[0]
    return (*value[:place], changed(value[place], at[1:], instead), *value[place + 1 :])


def damaged(name: str, at: tuple[int, ...], instead: Value) -> bytes:
    return encode(changed(decode(golden(name)), at, instead))


def test_every_encoding_is_the_golden_one() -> None:
    made = current()
    assert set(made) == set(json.loads(FILE.read_text()))
    for name in ("question about the state", "question about the catalogue", "page"):
        assert bytes.fromhex(made[name]) == golden(name), name


def test_what_is_made_today_has_the_golden_shape() -> None:
    # What two ledgers came to when the vectors were made is in the bytes; only the form must stay.
    made = current()
    for name in ("credential", "outbox bundle", "message file"):
        assert shape_of(decode(bytes.fromhex(made[name]))) == shape_of(decode(golden(name))), name


def shape_of(value: Value) -> object:
    """The types in a value, nested; runs of one type are one."""
    if not isinstance(value, tuple):
        return type(value).__name__
    shapes = [shape_of(item) for item in value]
    return [shape for place, shape in enumerate(shapes) if place == 0 or shape != shapes[place - 1]]


def test_golden_objects_read_as_what_they_are() -> None:
    state = Question.decode(golden("question about the state"))
    assert state.check(ASKING, ASKED, state.expires_at_ms - 1) is None
    assert (state.member, state.subject) == (KEY.public_key, StateAsked("records/port/manifest"))
    search = Question.decode(golden("question about the catalogue"))
    assert search.subject == CatalogueAsked("berth", "records/port/a")
    assert Page.decode(golden("page")).encode() == golden("page")
    assert Credential.decode(golden("credential")).encode() == golden("credential")
    assert Bundle.decode(golden("outbox bundle")).kind is BundleKind.OUTBOX
    said = verify(golden("outbox bundle"), trust=golden("source")).fact
    assert isinstance(said, OutboxFact)
    assert said.destination == golden("destination")
    for trust in ("source", "destination"):
        assert verify_message(golden("message file"), trust=golden(trust)).message == said.leaf


@pytest.mark.parametrize(
    ("name", "at", "instead", "read"),
    [
        pytest.param(name, at, instead, read, id=f"{name}: {damage}")
        for name, read, damages in (
            (
                "question about the state",
                Question.decode,
                (
                    ("a version that is none", (0, 0), 2),
                    ("a short asking cluster", (0, 1), b"\x01" * 31),
                    ("a short asked cluster", (0, 2), b"\x02" * 31),
                    ("a short key", (0, 3), b"\x04" * 31),
                    ("a long unique", (0, 4), b"\x03" * 17),
                    ("an expiry below 0", (0, 5), -1),
                    ("a subject that is none", (0, 6, 0), 3),
                    ("a resource without end", (0, 6, 1), "r" * 321),
                    ("a short signature", (1,), bytes(63)),
                ),
            ),
            (
                "question about the catalogue",
                Question.decode,
                (("a text without end", (0, 6, 1), "t" * 65), ("a place without end", (0, 6, 2), "r" * 321)),
            ),
            ("page", Page.decode, (("more rows than a page", (1,), ((),) * 101), ("no height", (0,), -1))),
            (
                "credential",
                Credential.decode,
                (
                    ("no header", (0,), b""),
                    ("a leaf without end", (2,), bytes(4097)),
                    ("no proof", (3,), None),
                ),
            ),
        )
        for damage, at, instead in damages
    ],
)
def test_damaged_objects_are_refused(
    name: str, at: tuple[int, ...], instead: Value, read: Callable[[bytes], object]
) -> None:
    with pytest.raises(CodecError):
        read(damaged(name, at, instead))


@pytest.mark.parametrize(
    ("at", "instead", "says"),
    [
        pytest.param((9, 0), b"\x07" * 32, "outbox proof", id="another destination"),
        pytest.param((9, 0), b"\x07" * 31, "format", id="a short destination"),
        pytest.param((9, 1), b"\x07", "outbox proof", id="another leaf"),
        pytest.param((9, 1), bytes(20_000), "format", id="a leaf without end"),
        pytest.param((9, 2, 1), 1, "outbox proof", id="another index"),
        pytest.param((9, 2, 0, 0), 2, "outbox proof", id="another size of the log"),
        pytest.param((9, 2, 0, 1), bytes(32), "outbox proof", id="another root of the log"),
        pytest.param((9, 2), b"\x90", "format", id="no proof"),
        pytest.param((1,), 5, "format", id="a kind that is none"),
        pytest.param((1,), 3, "format", id="another kind"),
    ],
)
def test_damaged_outbox_bundles_fail_at_their_step(at: tuple[int, ...], instead: Value, says: str) -> None:
    with pytest.raises(ProofError, match=f"^{says}"):
        verify(damaged("outbox bundle", at, instead), trust=golden("source"))


def test_message_files_with_halves_exchanged_twice_the_same_or_missing_are_refused() -> None:
    magic, sent, answered = decode(golden("message file"))  # type: ignore[misc]  # three fields, or this fails
    for fields in ((magic, answered, sent), (magic, sent, sent), (magic, sent, b""), (magic, sent)):
        for trust in ("source", "destination"):
            with pytest.raises(ProofError):
                verify_message(encode(fields), trust=golden(trust))


def test_a_bundle_of_another_kind_is_no_half_of_a_message() -> None:
    magic, sent, answered = decode(golden("message file"))  # type: ignore[misc]  # as above
    header_only = encode(changed(changed(decode(sent), (1,), 3), (9,), None))
    with pytest.raises(ProofError, match=r"^message: "):
        verify_message(encode((magic, header_only, answered)), trust=golden("source"))


if __name__ == "__main__":
    FILE.write_text(json.dumps(current(), indent=1) + "\n")
