"""What a member of one cluster asks another: signed by the member, answered as far as policy grants (F15).

A question names both clusters, the member's key, when it ends and what it is about. Its credential shows that
the key was a member's after a certified header of the asking cluster. The answer to a question about the
state is a bundle without the genesis, which the asker holds; to one for the catalogue a page of names, which
proves nothing. Two more things are asked that are no secret to a cluster that is followed: where a header
stands in the history of a later one, and a leaf of what was said to the asker. Canonical msgpack:

    question    [body, signature over H("isthmus/question/v1", body)]
    body        [version, asking cluster id, asked cluster id, member key, unique, expires_at_ms, subject]
    subject     [1, resource]                     what stands there now, or that nothing does
                [2, text, after]                  the names that contain a text, behind a name
    credential  [header, certificate, member leaf, state proof]
    fact asked  [1, question, credential] | [2, low height, high height]
                | [3, 1 if an answer else 0, port, mode, sequence]
    fact        bundle | page | path              as was asked
    page        [height, [[resource, kind, owner, version, height], ...], resource to go on behind | ""]
    path        [hash, ...]
"""

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from consensus import (
    CodecError,
    Digest,
    HeaderCertificate,
    PublicKey,
    Signer,
    Value,
    as_array,
    as_bytes,
    as_int,
    as_text,
    as_tuple,
    decode,
    digest,
    encode,
    verify,
)
from node.anchoring.cluster.certified import Certified
from node.anchoring.lanes.courier import LeafName
from node.anchoring.lanes.messages import PORT_CHARACTERS_MAX, SEQUENCE_MAX, Mode
from node.proofs import SmtProof
from node.proofs.header import HEADER_BYTES_MAX, Header
from node.proofs.rfc6962 import MAX_PATH_HASHES

QUESTION_VERSION = 1
QUESTION_BYTES_MAX = 1024
CREDENTIAL_BYTES_MAX = 48 * 1024
"""A header, the signatures of 128 validators, a member's leaf and a state proof, generously."""
FACT_ASKED_BYTES_MAX = QUESTION_BYTES_MAX + CREDENTIAL_BYTES_MAX + 256
LIFETIME_MS_MAX = 10 * 60_000
"""No question may end later than this after it is read."""
RESOURCE_CHARACTERS_MAX = 320
TEXT_CHARACTERS_MAX = 64
PAGE_MAX = 100
PAGE_BYTES_MAX = 128 * 1024
UNIQUE_BYTES = 16
_LEAF_BYTES_MAX = 4 * 1024
_DOMAIN = "isthmus/question/v1"


class Refusal(Enum):
    """Why a question is not answered; the value is the stable word that travels, `words` for people."""

    DENIED = "denied"
    NOT_A_MEMBER = "not-a-member"
    EXPIRED = "expired"
    MISDIRECTED = "misdirected"
    SIGNATURE = "bad-signature"
    UNAVAILABLE = "unavailable"

    @property
    def words(self) -> str:
        """What it means, and the way out."""
        return _WORDS[self]


_WORDS = {
    Refusal.DENIED: "That cluster's policy does not let this member read it; whether it exists is not said. "
    "Its operators grant it: `isthmus governance propose`, kind `readers`.",
    Refusal.NOT_A_MEMBER: "The question is not shown to be a member's by a header that the other cluster can "
    "believe; register the key, or ask again once our epoch is anchored there.",
    Refusal.EXPIRED: "The question has ended, or would last too long; ask again, and look at the clocks.",
    Refusal.MISDIRECTED: "The question names other clusters than those it passes between; ask again.",
    Refusal.SIGNATURE: "The question's signature is not its member's; ask again.",
    Refusal.UNAVAILABLE: "What was asked for is not (or no longer) there in a form that fits an answer.",
}


@dataclass(frozen=True, slots=True)
class StateAsked:
    """What stands at `resource`, an application and what it calls the thing: `records/docs/readme`."""

    resource: str

    def to_value(self) -> Value:
        """`[1, resource]`."""
        return (1, self.resource)


@dataclass(frozen=True, slots=True)
class CatalogueAsked:
    """Names of resources that contain `text`, in order, behind `after` (empty: from the first)."""

    text: str
    after: str = ""

    def to_value(self) -> Value:
        """`[2, text, after]`."""
        return (2, self.text, self.after)


Subject: TypeAlias = StateAsked | CatalogueAsked


@dataclass(frozen=True, slots=True)
class Question:
    """One signed question; make it with `sign` or `decode`. Nothing says that `member` is one."""

    asking: Digest
    asked: Digest
    member: PublicKey
    expires_at_ms: int
    subject: Subject
    encoded: bytes

    @staticmethod
    def sign(
        key: Signer, asking: bytes, asked: bytes, unique: bytes, expires_at_ms: int, subject: Subject
    ) -> "Question":
        """A question by the holder of `key`; `unique` has 16 bytes. Raises CodecError."""
        body = encode(
            (
                QUESTION_VERSION,
                asking,
                asked,
                key.public_key,
                unique,
                expires_at_ms,
                subject.to_value(),
            )
        )
        return Question.decode(encode((body, key.sign(digest(_DOMAIN, body)))))

    @staticmethod
    def decode(data: bytes) -> "Question":
        """The question in these bytes, its signature not yet checked; raises CodecError."""
        envelope = decode(data, max_bytes=QUESTION_BYTES_MAX, max_depth=1)
        body, signature = as_tuple(envelope, 2, "question")
        as_bytes(signature, "signature", length=64)
        fields = as_tuple(decode(as_bytes(body, "body"), max_depth=2), 7, "question body")
        if fields[0] != QUESTION_VERSION:
            raise CodecError(f"question version {fields[0]!r:.20} is not {QUESTION_VERSION}")
        as_bytes(fields[4], "unique", length=UNIQUE_BYTES)
        return Question(
            Digest(as_bytes(fields[1], "asking cluster", length=32)),
            Digest(as_bytes(fields[2], "asked cluster", length=32)),
            PublicKey(as_bytes(fields[3], "member key", length=32)),
            as_int(fields[5], "expires_at_ms"),
            _subject(fields[6]),
            data,
        )

    def check(self, asking: bytes, asked: bytes, now_ms: int) -> Refusal | None:
        """Why the question cannot be one between these clusters at this time, None when it can."""
        if (self.asking, self.asked) != (asking, asked):
            return Refusal.MISDIRECTED
        if not now_ms < self.expires_at_ms <= now_ms + LIFETIME_MS_MAX:
            return Refusal.EXPIRED
        body, signature = as_tuple(decode(self.encoded), 2, "question")
        if not verify(self.member, digest(_DOMAIN, as_bytes(body, "body")), as_bytes(signature, "signature")):
            return Refusal.SIGNATURE
        return None


def _subject(value: Value) -> Subject:
    if type(value) is tuple and len(value) == 2 and value[0] == 1:
        return StateAsked(as_text(value[1], "resource", max_length=RESOURCE_CHARACTERS_MAX))
    kind, text, after = as_tuple(value, 3, "subject")
    if kind != 2:
        raise CodecError(f"subject {kind!r:.20} is none that this version knows")
    return CatalogueAsked(
        as_text(text, "text", max_length=TEXT_CHARACTERS_MAX),
        as_text(after, "after", max_length=RESOURCE_CHARACTERS_MAX),
    )


@dataclass(frozen=True, slots=True)
class Credential:
    """A member's leaf in the state of the asking cluster, under a certified header; unchecked."""

    certified: Certified
    leaf: bytes
    proof: SmtProof

    def encode(self) -> bytes:
        """The canonical bytes."""
        return encode((*self.certified.to_value(), self.leaf, self.proof.to_value()))

    @staticmethod
    def decode(data: bytes) -> "Credential":
        """The inverse of `encode`; raises CodecError."""
        value = decode(data, max_bytes=CREDENTIAL_BYTES_MAX, max_depth=4, max_items=1024)
        header, certificate, leaf, proof = as_tuple(value, 4, "credential")
        return Credential(
            Certified(
                Header.decode(as_bytes(header, "header", max_length=HEADER_BYTES_MAX)),
                HeaderCertificate.from_value(certificate),
            ),
            as_bytes(leaf, "member leaf", max_length=_LEAF_BYTES_MAX),
            SmtProof.from_value(proof),
        )


@dataclass(frozen=True, slots=True)
class MemberAsked:
    """A member's question with its credential, neither decoded yet."""

    question: bytes
    credential: bytes


@dataclass(frozen=True, slots=True)
class PathAsked:
    """Where header `low` stands in the history of header `high`."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class LeafAsked:
    """The proof of what was said to the asker: a message to it, or the answer to one of its own."""

    name: LeafName


FactAsked: TypeAlias = MemberAsked | PathAsked | LeafAsked


def fact_asked_value(asked: FactAsked) -> Value:
    """A fact that is asked for, as it travels."""
    match asked:
        case MemberAsked(question, credential):
            return (1, question, credential)
        case PathAsked(low, high):
            return (2, low, high)
        case LeafAsked(name):
            return (3, int(name.is_answer), name.port, int(name.mode), name.sequence)


def fact_asked_from_value(value: Value) -> FactAsked:
    """The inverse of `fact_asked_value`; raises CodecError."""
    kind = value[0] if type(value) is tuple and value else None
    if kind == 1:
        _, question, credential = as_tuple(value, 3, "member's question")
        return MemberAsked(
            as_bytes(question, "question", max_length=QUESTION_BYTES_MAX),
            as_bytes(credential, "credential", max_length=CREDENTIAL_BYTES_MAX),
        )
    if kind == 2:
        _, low, high = as_tuple(value, 3, "path asked")
        below = as_int(low, "low height")
        return PathAsked(below, as_int(high, "high height", low=below))
    if kind == 3:
        _, is_answer, port, mode, sequence = as_tuple(value, 5, "leaf asked")
        return LeafAsked(
            LeafName(
                as_int(is_answer, "is answer", high=1) == 1,
                as_text(port, "port", max_length=PORT_CHARACTERS_MAX),
                Mode(as_int(mode, "mode", low=1, high=2)),
                as_int(sequence, "sequence", low=1, high=SEQUENCE_MAX),
            )
        )
    raise CodecError(f"asked is {kind!r:.20}, which this version does not know")


@dataclass(frozen=True, slots=True)
class Listed:
    """One resource of a catalogue: who owns it, and its newest version."""

    resource: str
    kind: str
    owner: str
    version: int
    height: int


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a catalogue as one node tells it; no proof says that nothing was left out. `behind` is where
    the next page begins, empty at the end."""

    height: int
    listed: tuple[Listed, ...]
    behind: str

    def encode(self) -> bytes:
        """The canonical bytes."""
        rows = tuple((one.resource, one.kind, one.owner, one.version, one.height) for one in self.listed)
        return encode((self.height, rows, self.behind))

    @staticmethod
    def decode(data: bytes) -> "Page":
        """The inverse of `encode`; raises CodecError."""
        value = decode(data, max_bytes=PAGE_BYTES_MAX, max_depth=3, max_items=8 * PAGE_MAX)
        height, rows, behind = as_tuple(value, 3, "page")
        return Page(
            as_int(height, "height"),
            tuple(map(_listed, as_array(rows, PAGE_MAX, "page"))),
            as_text(behind, "behind", max_length=RESOURCE_CHARACTERS_MAX),
        )


def _listed(value: Value) -> Listed:
    resource, kind, owner, version, height = as_tuple(value, 5, "listed resource")
    return Listed(
        as_text(resource, "resource", max_length=RESOURCE_CHARACTERS_MAX),
        as_text(kind, "kind", max_length=64),
        as_text(owner, "owner", max_length=64),
        as_int(version, "version"),
        as_int(height, "height"),
    )


def encode_path(path: tuple[bytes, ...]) -> bytes:
    """A path of RFC 6962 as it travels."""
    return encode(path)


def decode_path(data: bytes) -> tuple[bytes, ...]:
    """The inverse of `encode_path`; raises CodecError."""
    hashes = as_array(decode(data, max_bytes=4096, max_depth=1), MAX_PATH_HASHES, "path")
    return tuple(as_bytes(item, "hash", length=32) for item in hashes)
