"""Transactions: what a member signs, as bytes, as a type, and as the id that everybody means.

`transaction = [body, signature]` and `body = [1, cluster_id, sender, unique_id, expires_at_ms, app, method,
args]`, both canonical; `id = H("isthmus/transaction/v1", body)` is also the digest that is signed. The body
travels as one byte string, so that it is hashed as received. The sender's key is inside, which makes
validity a function of the bytes alone (C22); whether that key may do this is judged at execution.
"""

import msgpack

from consensus import (
    ED25519,
    CodecError,
    Digest,
    PublicKey,
    Signature,
    SignatureScheme,
    Signer,
    Value,
    as_array,
    as_bytes,
    as_int,
    as_text,
    as_tuple,
    decode,
    decode_shape,
    digest,
    encode,
    encode_trusted,
    immutable,
)
from node.ledger.codes import Code, RejectedTransaction

TRANSACTION_VERSION = 1
TRANSACTION_BYTES_MAX = 64 * 1024
UNIQUE_ID_BYTES = 16
NAME_CHARACTERS_MAX = 64
"""Longest application or method name."""
ARGUMENTS_MAX = 64
BODY_DEPTH_MAX = 8
"""Deepest nesting of a body: itself, its arguments, and six levels inside them."""
EXPIRY_MS_MAX = 2**53
"""Later than any clock; keeps sums of times far from the limits of 64 bits."""
_DOMAIN = "isthmus/transaction/v1"
_DEPTH_ANY = 1024
_BODY_SHAPE = (int, bytes, bytes, bytes, int, str, str, tuple)
_SENDER_AT = 38
"""Where the sender's key begins in a body: behind five headers, the version and the cluster id."""
_SIGNATURE_HEADER = b"\xc4\x40"
_SIGNATURE_PART = 66
"""Bytes of the signature with its header, with which a transaction ends."""


@immutable(frozen=True, slots=True, eq=False)
class Transaction:
    """One signed request; make it with `sign` or `decode`, which fix `encoded` and `id`.

    `sender` is the 32-byte key that signed; `unique_id` 16 bytes, never used twice by a sender while
    unexpired; `expires_at_ms` the first millisecond of cluster time at which it is void; `args` canonical.
    """

    cluster_id: bytes
    sender: PublicKey
    unique_id: bytes
    expires_at_ms: int
    app: str
    method: str
    args: tuple[Value, ...]
    signature: Signature
    encoded: bytes
    id: Digest

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Transaction) and other.encoded == self.encoded

    def __hash__(self) -> int:
        return int.from_bytes(self.id[:8], "big")

    @staticmethod
    def sign(
        key: Signer,
        cluster_id: bytes,
        unique_id: bytes,
        expires_at_ms: int,
        app: str,
        method: str,
        args: tuple[Value, ...],
        max_bytes: int = TRANSACTION_BYTES_MAX,
    ) -> "Transaction":
        """A transaction signed by `key`. Raises RejectedTransaction when no node could accept its form."""
        fields = (
            TRANSACTION_VERSION,
            cluster_id,
            key.public_key,
            unique_id,
            expires_at_ms,
            app,
            method,
            args,
        )
        try:
            body = encode(fields)
        except CodecError as error:
            raise RejectedTransaction(Code.MALFORMED, str(error)) from error
        transaction_id = digest(_DOMAIN, body)
        encoded = encode_trusted((body, key.sign(transaction_id)))
        return Transaction.decode(encoded, max_bytes)

    @staticmethod
    def decode(data: bytes, max_bytes: int = TRANSACTION_BYTES_MAX) -> "Transaction":
        """The transaction these bytes encode; its signature is not checked (`check_signature`).

        Raises RejectedTransaction: OVERSIZED, MALFORMED, NON_CANONICAL, OVER_NESTED or BAD_VERSION.
        """
        if len(data) > max_bytes:
            raise RejectedTransaction(Code.OVERSIZED, f"{len(data)} bytes exceed the limit of {max_bytes}")
        return _decode_usual(data) or Transaction._decode_any(data)

    @staticmethod
    def _decode_any(data: bytes) -> "Transaction":
        """`decode` field by field: it says what is wrong."""
        outer = _strict(data, 1, "transaction")
        try:
            body, signature = as_tuple(outer, 2, "transaction")
            body = as_bytes(body, "body")
            signature = as_bytes(signature, "signature", length=64)
        except CodecError as error:
            raise RejectedTransaction(Code.MALFORMED, str(error)) from error
        inner = _strict(body, BODY_DEPTH_MAX, "body")
        if type(inner) is tuple and inner and inner[0] != TRANSACTION_VERSION:
            raise RejectedTransaction(
                Code.BAD_VERSION, f"version {inner[0]!a:.20} is not {TRANSACTION_VERSION}"
            )
        try:
            _, cluster_id, sender, unique_id, expires_at_ms, app, method, args = as_tuple(inner, 8, "body")
            return Transaction(
                as_bytes(cluster_id, "cluster id", length=32),
                PublicKey(as_bytes(sender, "sender", length=32)),
                as_bytes(unique_id, "unique id", length=UNIQUE_ID_BYTES),
                as_int(expires_at_ms, "expires_at_ms", high=EXPIRY_MS_MAX),
                as_text(app, "app", max_length=NAME_CHARACTERS_MAX),
                as_text(method, "method", max_length=NAME_CHARACTERS_MAX),
                as_array(args, ARGUMENTS_MAX, "args"),
                Signature(signature),
                data,
                digest(_DOMAIN, body),
            )
        except CodecError as error:
            raise RejectedTransaction(Code.MALFORMED, str(error)) from error


def _decode_usual(data: bytes) -> Transaction | None:
    """The transaction, if nothing is wrong with it: without the looks that tell what is wrong, because every
    node decodes every transaction."""
    if data[:2] == b"\x92\xc4":
        start = 3
        end = 3 + data[2] if len(data) > 2 else 0
    elif data[:2] == b"\x92\xc5":
        start = 4
        end = 4 + int.from_bytes(data[2:4], "big")
        if end < 4 + 256:
            return None  # a shorter header would do
    else:
        return None
    if len(data) != end + _SIGNATURE_PART or data[end : end + 2] != _SIGNATURE_HEADER:
        return None
    body = data[start:end]
    inner = decode_shape(body, _BODY_SHAPE, BODY_DEPTH_MAX)
    if inner is None:
        return None
    version, cluster_id, sender, unique_id, expires_at_ms, app, method, args = inner
    if (
        version == TRANSACTION_VERSION
        and len(cluster_id) == len(sender) == 32
        and len(unique_id) == UNIQUE_ID_BYTES
        and 0 <= expires_at_ms <= EXPIRY_MS_MAX
        and len(app) <= NAME_CHARACTERS_MAX
        and len(method) <= NAME_CHARACTERS_MAX
        and len(args) <= ARGUMENTS_MAX
    ):
        return Transaction(
            cluster_id,
            sender,
            unique_id,
            expires_at_ms,
            app,
            method,
            args,
            Signature(data[end + 2 :]),
            data,
            digest(_DOMAIN, body),
        )
    return None


def sender_in(data: bytes) -> PublicKey:
    """The key that stands where an encoded transaction has its sender's: something to go by before anything
    is decoded. Any bytes, 32 or fewer, where `data` is no transaction."""
    start = _SENDER_AT + (3 if data[1:2] == b"\xc4" else 4)
    return PublicKey(data[start : start + 32])


def check_signature(transaction: Transaction, scheme: SignatureScheme = ED25519) -> bool:
    """Whether the sender's key signed the id; the only costly check, about 40 microseconds."""
    return scheme.verify(transaction.sender, transaction.id, transaction.signature)


def _strict(data: bytes, max_depth: int, what: str) -> Value:
    """`decode`, with its refusals sorted into the codes that clients are promised."""
    try:
        return decode(data, max_depth=max_depth)
    except CodecError as error:
        raise RejectedTransaction(_refusal_of(data, error), f"{what}: {error}") from error


def _refusal_of(data: bytes, error: CodecError) -> Code:
    """The code of a refusal. The codec chains what the parser itself refused as the cause; anything
    else was well-formed msgpack, and too deep iff a deeper limit lets it pass."""
    if isinstance(error.__cause__, msgpack.StackError | RecursionError):
        return Code.OVER_NESTED
    if error.__cause__ is not None:
        return Code.MALFORMED
    try:
        decode(data, max_depth=_DEPTH_ANY)
    except (CodecError, RecursionError):
        return Code.NON_CANONICAL
    return Code.OVER_NESTED
