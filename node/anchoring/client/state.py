"""A light client's state: all that one cluster's ledger keeps of another, as one leaf of its own state.

    client  [2, cluster id, name, incarnation, [epoch, [[key, weight], ...]], [epoch, [[key, weight], ...]],
             [[operator key, weight], ...], tip, status, 1 if it was ever admitted else 0,
             1 if it healed by itself from a silence else 0, [accused key, ...],
             [epoch, [[key, weight], ...]] | nil]
            the current set, the first set of this incarnation; last the first set that was convicted in it
            after a recovery it begins with 3 and ends with one field more:
    before  [client bytes, lowest height, base height, [signer key, ...], [epoch, set hash] | nil, taken_ms]
    tip     [incarnation, height, header hash, history root, time_ms, outbox root, anchors root, state root,
             next validators hash | nil]

It grows with the number of validators and with nothing else. How it changes: `client/lightclient.py` and
`client/recovering.py`.
"""

from dataclasses import dataclass, replace

from consensus import (
    VALIDATORS_MAX,
    CodecError,
    Digest,
    PublicKey,
    ValidatorSet,
    Value,
    as_array,
    as_bytes,
    as_int,
    as_text,
    as_tuple,
    decode,
    encode,
)
from node.anchoring.cluster.anchors import Anchor, ClientStatus, Point
from node.anchoring.forks.evidence import Ground
from node.anchoring.forks.recovery import ACCUSED_MAX, rank_from_value
from node.proofs.header import Header

CLIENT_VERSION = 2
RECOVERED_VERSION = 3
CLIENT_BYTES_MAX = 192 * 1024
BEFORE_MAX = 3
"""Incarnations before the present one that a client remembers."""
TIME_AHEAD_MAX_MS = 15 * 60_000
"""How far a header's cluster time may lie ahead of the holder's: one of next year would never grow stale."""
ACCOUNTABLE_MS = 7 * 24 * 3_600_000
"""For how long after a recovery evidence of the incarnation before it freezes: no less than evidence takes to
travel while clusters are away, no more than keys that are retired can be kept."""
_DEPTH_MAX = 4
_NAME_CHARACTERS_MAX = 64


@dataclass(frozen=True, slots=True)
class Tip:
    """The newest header held, reduced to what proofs and the next update need."""

    incarnation: int
    height: int
    header_hash: Digest
    history_root: Digest
    time_ms: int
    outbox_root: Digest
    anchors_root: Digest
    state_root: Digest
    next_validators_hash: Digest | None

    @staticmethod
    def of(header: Header) -> "Tip":
        """The tip that a believed header makes."""
        return Tip(
            header.incarnation,
            header.height,
            header.hash,
            header.history_root,
            header.time_ms,
            header.outbox_root,
            header.anchors_root,
            header.state_root,
            header.next_validators_hash,
        )

    @property
    def point(self) -> Point:
        """Its place in the history."""
        return Point(self.height, self.header_hash, self.history_root)

    def to_value(self) -> tuple[Value, ...]:
        """The fields in order."""
        return (
            self.incarnation,
            self.height,
            self.header_hash,
            self.history_root,
            self.time_ms,
            self.outbox_root,
            self.anchors_root,
            self.state_root,
            self.next_validators_hash,
        )

    @staticmethod
    def from_value(value: Value) -> "Tip":
        """The inverse of `to_value`; raises CodecError."""
        incarnation, height, header, history, time_ms, outbox, anchors, state, following = as_tuple(
            value, 9, "tip"
        )
        return Tip(
            as_int(incarnation, "tip incarnation"),
            as_int(height, "height"),
            _hash(header),
            _hash(history),
            as_int(time_ms, "time_ms"),
            _hash(outbox),
            _hash(anchors),
            _hash(state),
            None if following is None else _hash(following),
        )


@dataclass(frozen=True, slots=True)
class Before:
    """What a client was before the recovery that began its incarnation, and what that recovery rests on: its
    base's height, the validators who signed it (none where operators did), and the epoch and hash of the
    convicted set that it names. `lowest` is the first height of the incarnation before, `taken_ms` the time
    of the holder's block that took the recovery."""

    client: "ClientState"
    lowest: int
    base_height: int
    signers: tuple[PublicKey, ...]
    convicted: tuple[int, Digest] | None
    taken_ms: int

    def is_accountable(self, time_ms: int) -> bool:
        """Whether evidence of the incarnation before may still freeze a client whose tip is of `time_ms`."""
        return time_ms <= self.taken_ms + ACCOUNTABLE_MS

    def to_value(self) -> tuple[Value, ...]:
        """`[client bytes, lowest, base height, [signer key, ...], [epoch, set hash] | nil, taken_ms]`."""
        basis = (self.signers, self.convicted, self.taken_ms)
        return (self.client.encode(), self.lowest, self.base_height, *basis)

    @staticmethod
    def from_value(value: Value, levels: int) -> "Before":
        """The inverse of `to_value`, of at most this many incarnations; raises CodecError."""
        client, lowest, base_height, signers, convicted, taken_ms = as_tuple(value, 6, "incarnation before")
        if levels < 1:
            raise CodecError(f"more than {BEFORE_MAX} incarnations before are told of")
        held = as_bytes(client, "client before", max_length=CLIENT_BYTES_MAX)
        return Before(
            ClientState.decode(held, levels - 1),
            as_int(lowest, "lowest height"),
            as_int(base_height, "base height"),
            tuple(
                PublicKey(as_bytes(key, "signer key", length=32))
                for key in as_array(signers, VALIDATORS_MAX, "signer keys")
            ),
            None if convicted is None else rank_from_value(convicted),
            as_int(taken_ms, "taken_ms"),
        )


@dataclass(frozen=True, slots=True)
class ClientState:
    """One cluster as another knows it; a state leaf of the holder.

    `validators` are those of the epoch of the next header to be believed, `origin` the first of this
    incarnation. `is_admitted` outlives a freeze, so that a recovery admits nobody. `is_unwatched`: it was
    STALE and healed by an update of the epoch it was in, which whoever has that epoch's keys can make, so
    that the next epoch needs others' word (F8). `accused` are the keys that evidence named of this
    incarnation, `convicted` is the set of the earliest epoch among them. `before` is None in the first.
    """

    cluster_id: Digest
    name: str
    incarnation: int
    validators: ValidatorSet
    origin: ValidatorSet
    operators: ValidatorSet
    last: Tip
    status: ClientStatus
    is_admitted: bool = False
    is_unwatched: bool = False
    accused: tuple[PublicKey, ...] = ()
    convicted: ValidatorSet | None = None
    before: Before | None = None

    @property
    def epoch(self) -> int:
        """The epoch of `validators`."""
        return self.validators.epoch

    @property
    def anchor(self) -> Anchor:
        """What stands in the holder's `anchors_root` under the cluster's id."""
        return Anchor(self.incarnation, self.epoch, self.last.point, self.status)

    @property
    def needs_others(self) -> bool:
        """Whether epochs may have passed that nobody watched, so that the next link needs others' word."""
        return self.status is ClientStatus.STALE or self.is_unwatched

    @property
    def is_at_base(self) -> bool:
        """Whether a recovery was applied and nothing of the new incarnation is known yet."""
        return self.last.incarnation < self.incarnation

    @property
    def lowest(self) -> int:
        """The first height of this incarnation."""
        return 0 if self.before is None else self.before.base_height + 1

    @property
    def may_be_tainted(self) -> bool:
        """Whether evidence of an incarnation before may still freeze it."""
        return self.before is not None and self.before.is_accountable(self.last.time_ms)

    @property
    def ground(self) -> Ground:
        """What evidence is judged by."""
        is_over = self.last.next_validators_hash is not None
        return Ground(
            self.cluster_id, self.incarnation, self.origin, self.validators, self.last.point, is_over
        )

    def encode(self) -> bytes:
        """The canonical bytes of the leaf."""
        before = self.before
        fields = (
            CLIENT_VERSION if before is None else RECOVERED_VERSION,
            self.cluster_id,
            self.name,
            self.incarnation,
            self.validators.to_value(),
            self.origin.to_value(),
            self.operators.to_value()[1],
            self.last.to_value(),
            int(self.status),
            int(self.is_admitted),
            int(self.is_unwatched),
            self.accused,
            None if self.convicted is None else self.convicted.to_value(),
        )
        return encode(fields if before is None else (*fields, before.to_value()))

    def remembering(self, levels: int) -> "ClientState":
        """With at most so many incarnations before its own."""
        before = self.before
        if before is None:
            return self
        if levels < 1:
            return replace(self, before=None)
        return replace(self, before=replace(before, client=before.client.remembering(levels - 1)))

    @staticmethod
    def decode(data: bytes, levels: int = BEFORE_MAX) -> "ClientState":
        """The inverse of `encode`, with at most so many incarnations before it; raises CodecError."""
        value = decode(data, max_bytes=CLIENT_BYTES_MAX, max_depth=_DEPTH_MAX)
        is_recovered = type(value) is tuple and bool(value) and value[0] == RECOVERED_VERSION
        fields = as_tuple(value, 14 if is_recovered else 13, "client")
        if fields[0] not in (CLIENT_VERSION, RECOVERED_VERSION):
            raise CodecError(
                f"client version {fields[0]!r:.20} is not {CLIENT_VERSION} or {RECOVERED_VERSION}"
            )
        validators, origin = ValidatorSet.from_value(fields[4]), ValidatorSet.from_value(fields[5])
        return ClientState(
            _hash(fields[1]),
            as_text(fields[2], "cluster name", max_length=_NAME_CHARACTERS_MAX),
            as_int(fields[3], "incarnation"),
            validators,
            origin,
            ValidatorSet.from_value((origin.epoch, fields[6])),
            Tip.from_value(fields[7]),
            ClientStatus(as_int(fields[8], "status", high=max(ClientStatus))),
            as_int(fields[9], "is admitted", high=1) == 1,
            as_int(fields[10], "is unwatched", high=1) == 1,
            tuple(
                PublicKey(as_bytes(key, "accused key", length=32))
                for key in as_array(fields[11], ACCUSED_MAX, "accused keys")
            ),
            None if fields[12] is None else ValidatorSet.from_value(fields[12]),
            Before.from_value(fields[13], levels) if is_recovered else None,
        )


def _hash(value: Value) -> Digest:
    return Digest(as_bytes(value, "hash", length=32))
