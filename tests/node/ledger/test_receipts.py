"""Receipts decode strictly and say what happened in words."""

import pytest

from consensus import CodecError, Digest, LocalError, encode
from node.ledger.codes import Code
from node.ledger.receipts import NO_WRITES, Receipt

TX = Digest(bytes(range(32)))
FIELDS = (1, TX, 7, 3, 203, "acme/a is at version 2", NO_WRITES)


def test_a_receipt_is_its_bytes() -> None:
    receipt = Receipt.make(*FIELDS[1:])
    assert receipt.encoded == encode(FIELDS)
    decoded = Receipt.decode(receipt.encoded)
    assert decoded == receipt
    assert hash(decoded) == hash(receipt)
    assert (decoded.height, decoded.index, decoded.status) == (7, 3, 203)
    assert not decoded.ok
    assert decoded.explanation == f"acme/a is at version 2: {Code.WRONG_PREVIOUS.sentence}"


@pytest.mark.parametrize("position", range(1, 7))
def test_every_field_is_in_the_encoding(position: int) -> None:
    other = [None, Digest(bytes(32)), 8, 4, 0, "", Digest(bytes(32))]
    changed = (*FIELDS[1:position], other[position], *FIELDS[position + 1 :])
    assert Receipt.make(*changed) != Receipt.make(*FIELDS[1:])


def test_results_of_success_are_kept_as_values() -> None:
    receipt = Receipt.decode(Receipt.make(TX, 1, 0, Code.OK, (1, ("x", None)), NO_WRITES).encoded)
    assert receipt.ok
    assert receipt.result == (1, ("x", None))
    assert receipt.explanation == "done"


@pytest.mark.parametrize(
    "value",
    [
        (2, *FIELDS[1:]),
        FIELDS[:-1],
        (1, bytes(31), *FIELDS[2:]),
        (*FIELDS[:2], -1, *FIELDS[3:]),
        (*FIELDS[:4], 65_536, *FIELDS[5:]),
        (*FIELDS[:6], bytes(33)),
        (*FIELDS[:5], b"x" * 20_000, NO_WRITES),
        5,
    ],
)
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(CodecError):
        Receipt.decode(encode(value))


def test_a_receipt_that_could_not_be_read_back_is_never_made() -> None:
    with pytest.raises(LocalError, match="exceeds"):
        Receipt.make(TX, 1, 0, 0, b"x" * 20_000, NO_WRITES)
