"""The door for bytes: one encoding, every damage refused with its own stable code."""

from collections.abc import Callable

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus import SigningKey, digest, encode, encode_trusted
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.transactions import TRANSACTION_BYTES_MAX, Transaction, check_signature, sender_in

KEY = SigningKey(bytes(range(32)))
CLUSTER = bytes(range(32, 64))
ARGS = ("acme/a", b"\x01" * 32, 5, ("x", ("y", None)), -1)


def signed(**changes: object) -> Transaction:
    fields = {
        "cluster_id": CLUSTER,
        "unique_id": bytes(16),
        "expires_at_ms": 1_700_000_000_000,
        "app": "records",
        "method": "put",
        "args": ARGS,
    }
    return Transaction.sign(KEY, **(fields | changes))


def body_of(*fields: object) -> bytes:
    defaults = [1, CLUSTER, KEY.public_key, bytes(16), 1_700_000_000_000, "records", "put", ARGS]
    for position, value in zip(fields[::2], fields[1::2], strict=True):
        defaults[position] = value
    return encode_trusted(defaults)


def wrap(body: bytes, signature: bytes = bytes(64)) -> bytes:
    return encode_trusted((body, signature))


def refusal(data: bytes, **limits: int) -> RejectedTransaction:
    with pytest.raises(RejectedTransaction) as caught:
        Transaction.decode(data, **limits)
    return caught.value


def test_what_was_signed_decodes_to_itself_and_verifies() -> None:
    transaction = signed()
    decoded = Transaction.decode(transaction.encoded)
    assert decoded == transaction
    assert hash(decoded) == hash(transaction)
    assert (decoded.sender, decoded.args, decoded.cluster_id) == (KEY.public_key, ARGS, CLUSTER)
    assert decoded.id == digest("isthmus/transaction/v1", body_of())
    assert check_signature(decoded)


def outcome(decode: Callable[[bytes], Transaction], data: bytes) -> list[object]:
    """Every field with its type, or the refusal."""
    try:
        decoded = decode(data)
    except RejectedTransaction as rejection:
        return [rejection.code, str(rejection)]
    values = [getattr(decoded, name) for name in Transaction.__slots__]
    return [*values, *map(type, values), *map(type, decoded.args)]


_ODD = st.sampled_from([None, True, 0, 1, 1.0, -1, 2**53, 2**53 + 1, b"", "", (), {}, {"a": 1}, "x" * 65])
_FIELDS = st.one_of(_ODD, st.binary(max_size=33), st.text(max_size=3), st.just(((((((((),),),),),),),)))


@given(
    st.lists(st.tuples(st.integers(0, 7), _FIELDS), max_size=2),
    st.lists(_FIELDS, max_size=4),
    st.sampled_from([0, 64, 64, 64, 64, 65]),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=2),
    st.integers(-2, 2),
)
def test_the_quick_way_accepts_what_the_careful_way_accepts_and_nothing_else(
    fields: list[tuple[int, object]],
    args: list[object],
    signature: int,
    damages: list[tuple[int, int]],
    cut: int,
) -> None:
    chosen = [part for field in fields for part in field]
    body = body_of(*chosen) if chosen else body_of(7, tuple(args))
    data = bytearray(msgpack.packb((body, bytes(signature))))
    for place, byte in damages:
        data[place % len(data)] = byte
    encoded = bytes(data) + bytes(cut) if cut >= 0 else bytes(data[:cut])
    assert outcome(Transaction.decode, encoded) == outcome(Transaction._decode_any, encoded)


@pytest.mark.parametrize("size", [0, 1, 30, 90, 120, 255, 256, 300, 60_000])
def test_every_header_of_a_body_is_the_shortest_one(size: int) -> None:
    body = body_of(7, (bytes(size),))
    encoded = wrap(body)
    assert Transaction.decode(encoded) == Transaction._decode_any(encoded)
    for header in (
        b"\xc4" + len(body).to_bytes(1, "big") if len(body) < 256 else b"",
        b"\xc5" + len(body).to_bytes(2, "big"),
        b"\xc6" + len(body).to_bytes(4, "big"),
    ):
        longer = b"\x92" + header + body + encoded[-66:]
        if header and longer != encoded:
            assert refusal(longer).code is Code.NON_CANONICAL


@pytest.mark.parametrize("field", range(1, 8))
def test_a_changed_field_changes_the_id_and_breaks_the_signature(field: int) -> None:
    other = [None, bytes(32), bytes(32), b"\x01" * 16, 5, "recordz", "putt", ("acme/b",)][field]
    genuine = signed()
    tampered = Transaction.decode(wrap(body_of(field, other), genuine.signature))
    assert tampered.id != genuine.id
    assert tampered != genuine
    assert not check_signature(tampered)


def test_every_flipped_bit_is_refused_or_fails_the_signature() -> None:
    genuine = signed().encoded
    for position in range(len(genuine)):
        for bit in (0, 3, 7):
            damaged = bytearray(genuine)
            damaged[position] ^= 1 << bit
            try:
                transaction = Transaction.decode(bytes(damaged))
            except RejectedTransaction:
                continue
            assert not check_signature(transaction)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", Code.MALFORMED),
        (b"\xc1", Code.MALFORMED),
        (signed().encoded[:-1], Code.MALFORMED),
        (signed().encoded + b"\x00", Code.MALFORMED),
        (encode(5), Code.MALFORMED),
        (encode((b"", bytes(64), 1)), Code.MALFORMED),
        (encode(("text", bytes(64))), Code.MALFORMED),
        (wrap(body_of(), bytes(63)), Code.MALFORMED),
        (wrap(b""), Code.MALFORMED),
        (wrap(encode((1, 2))), Code.MALFORMED),
        (wrap(encode("body")), Code.MALFORMED),
        (wrap(body_of(1, bytes(31))), Code.MALFORMED),
        (wrap(body_of(2, "key")), Code.MALFORMED),
        (wrap(body_of(3, bytes(17))), Code.MALFORMED),
        (wrap(body_of(4, -1)), Code.MALFORMED),
        (wrap(body_of(4, 2**53 + 1)), Code.MALFORMED),
        (wrap(body_of(5, "a" * 65)), Code.MALFORMED),
        (wrap(body_of(6, b"put")), Code.MALFORMED),
        (wrap(body_of(7, "args")), Code.MALFORMED),
        (wrap(body_of(7, tuple(range(65)))), Code.MALFORMED),
        (wrap(body_of(7, "\ud800".encode("utf-8", "surrogatepass"))), Code.MALFORMED),
        (wrap(body_of(0, 2)), Code.BAD_VERSION),
        (wrap(body_of(0, b"1")), Code.BAD_VERSION),
        (b"\xdc\x00\x02" + signed().encoded[1:], Code.NON_CANONICAL),
        (wrap(b"\xdc\x00\x08" + body_of()[1:]), Code.NON_CANONICAL),
        (wrap(body_of(7, (1.5,))), Code.NON_CANONICAL),
        (wrap(body_of(7, (True,))), Code.NON_CANONICAL),
        (wrap(body_of(7, ((((((((1,),),),),),),),))), Code.OVER_NESTED),
        (b"\x91" * 40 + b"\x01", Code.OVER_NESTED),
        (b"\x91" * 5000 + b"\x01", Code.OVER_NESTED),
        (wrap(body_of(7, ({},))), Code.NON_CANONICAL),
        (msgpack.packb({b"a": 1}), Code.MALFORMED),
        (b"\x82\x01\x01\x01\x02", Code.MALFORMED),
        (wrap(body_of(7, (msgpack.ExtType(4, b"x"),))), Code.MALFORMED),
    ],
)
def test_each_damage_has_its_code(data: bytes, code: Code) -> None:
    assert refusal(data).code == code


def test_the_deepest_allowed_arguments_pass() -> None:
    assert signed(args=((((((1,),),),),),)).args == ((((((1,),),),),),)


def test_an_oversized_transaction_is_told_the_limit_before_it_is_parsed() -> None:
    rejection = refusal(b"\xc1" * 1025, max_bytes=1024)
    assert rejection.code == Code.OVERSIZED
    assert "1025 bytes exceed the limit of 1024" in str(rejection)
    exact = signed(args=(b"x" * 60_000,)).encoded
    assert Transaction.decode(exact, max_bytes=len(exact)).encoded == exact
    assert refusal(exact, max_bytes=len(exact) - 1).code == Code.OVERSIZED
    assert refusal(bytes(TRANSACTION_BYTES_MAX + 1)).code == Code.OVERSIZED


def test_signing_refuses_what_no_node_would_accept() -> None:
    for changes, code in [
        ({"unique_id": bytes(3)}, Code.MALFORMED),
        ({"args": (1.5,)}, Code.MALFORMED),
        ({"args": (b"x" * TRANSACTION_BYTES_MAX,)}, Code.OVERSIZED),
    ]:
        with pytest.raises(RejectedTransaction) as caught:
            signed(**changes)
        assert caught.value.code == code


def test_a_cluster_with_a_larger_limit_signs_and_reads_larger_ones() -> None:
    large = signed(args=(b"x" * 100_000,), max_bytes=200_000)
    assert Transaction.decode(large.encoded, 200_000) == large


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_rejection(data: bytes) -> None:
    try:
        decoded = Transaction.decode(data)
    except RejectedTransaction:
        return
    assert decoded.encoded == data


@given(st.binary(max_size=200))
def test_no_body_raises_anything_but_a_rejection(body: bytes) -> None:
    with pytest.raises(RejectedTransaction):
        Transaction.decode(wrap(body))


@given(size=st.integers(0, 3_000))
def test_the_sender_is_found_without_decoding(size: int) -> None:
    assert sender_in(signed(args=(bytes(size),)).encoded) == KEY.public_key


@given(data=st.binary(max_size=200))
def test_bytes_that_are_no_transaction_name_some_sender_or_other(data: bytes) -> None:
    assert len(sender_in(data)) <= 32
