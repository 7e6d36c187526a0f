"""Proposals: what operators agreed on so far, as state leaves.

    governance/proposal/<id>    [1, proposer, tx_id, sweeping, [change, ...], height, expires_at_ms,
                                 executed height | nil, [operator key that approved, ...],
                                 [[consensus key of a ready joiner, height, time_ms], ...]]
    governance/open             [[id, proposer, expires_at_ms, has joiners], ...]

The id hashes what is proposed together with the id of the proposing transaction, so an approval of it is an
approval of exactly these changes, once (F13). Whoever is shown a proposal can compute it (`Proposal.id`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from consensus import (
    VALIDATORS_MAX,
    CodecError,
    Digest,
    PublicKey,
    Value,
    as_array,
    as_bytes,
    as_int,
    as_tuple,
    decode,
    digest,
    encode,
    encode_trusted,
)
from node.ledger.governance.changes import Change, changes_of

PROPOSAL_VERSION = 1
OPEN_MAX = 64
"""Most open proposals of a cluster."""
OPEN_PER_OPERATOR_MAX = 8
PROPOSAL_LIFETIME_MS = 7 * 24 * 3_600_000
"""A proposal that was not executed by then is void, by cluster time."""
READY_LIFETIME_MS = 3_600_000
"""How long a joining validator's proof counts, by cluster time: long enough for people to approve."""
OPEN_KEY = b"governance/open"
_PROPOSAL_PREFIX = b"governance/proposal/"
_PROPOSAL_DOMAIN = "isthmus/proposal/v1"
_READY_DOMAIN = "isthmus/ready/v1"


def proposal_key(proposal_id: bytes) -> bytes:
    """The state key of a proposal's leaf."""
    return _PROPOSAL_PREFIX + proposal_id


def proposal_id_of(changes: Sequence[Change], sweeping: bool, tx_id: bytes) -> Digest:
    """H(domain, [[change, ...], sweeping, tx_id]): what an approval binds."""
    content = (tuple(change.to_value() for change in changes), int(sweeping), tx_id)
    return digest(_PROPOSAL_DOMAIN, encode(content))


def ready_digest(cluster_id: bytes, proposal_id: bytes, height: int, header_hash: bytes) -> Digest:
    """What a joining validator signs with its new consensus key to prove that it has this height:
    H(domain, [cluster_id, proposal_id, height, header_hash])."""
    return digest(_READY_DOMAIN, encode((cluster_id, proposal_id, height, header_hash)))


@dataclass(frozen=True, slots=True)
class Readiness:
    """A joiner's newest proof: the height it named, and the cluster time at which it was taken."""

    consensus_key: PublicKey
    height: int
    time_ms: int

    def counts_at(self, time_ms: int) -> bool:
        """Whether it is not too old at this cluster time."""
        return time_ms < self.time_ms + READY_LIFETIME_MS


@dataclass(frozen=True, slots=True)
class Proposal:
    """One proposal; `tx_id` is of the transaction that proposed it. `approvals` are operator keys, `ready`
    the joiners' newest proofs; both in the order of coming."""

    proposer: PublicKey
    tx_id: Digest
    sweeping: bool
    changes: tuple[Change, ...]
    height: int
    expires_at_ms: int
    executed_height: int | None = None
    approvals: tuple[PublicKey, ...] = ()
    ready: tuple[Readiness, ...] = ()

    @property
    def id(self) -> Digest:
        """What an approval binds."""
        return proposal_id_of(self.changes, self.sweeping, self.tx_id)

    def with_approval(self, operator: PublicKey) -> "Proposal":
        """This proposal, approved by one more."""
        return replace(self, approvals=(*self.approvals, operator))

    def with_ready(self, proof: Readiness) -> "Proposal":
        """This proposal with a joiner's newest proof."""
        others = (known for known in self.ready if known.consensus_key != proof.consensus_key)
        return replace(self, ready=(*others, proof))

    def readiness_of(self, key: bytes) -> Readiness | None:
        """The newest proof of this joiner, or None."""
        return next((proof for proof in self.ready if proof.consensus_key == key), None)

    def is_ready(self, key: bytes, time_ms: int) -> bool:
        """Whether there is a proof of this joiner that counts at this cluster time."""
        proof = self.readiness_of(key)
        return proof is not None and proof.counts_at(time_ms)

    def encode(self) -> bytes:
        """The canonical bytes of the state leaf."""
        return encode_trusted(
            (
                PROPOSAL_VERSION,
                self.proposer,
                self.tx_id,
                int(self.sweeping),
                tuple(change.to_value() for change in self.changes),
                self.height,
                self.expires_at_ms,
                self.executed_height,
                self.approvals,
                tuple((proof.consensus_key, proof.height, proof.time_ms) for proof in self.ready),
            )
        )

    @staticmethod
    def decode(data: bytes) -> "Proposal":
        """The proposal in a state leaf; raises CodecError."""
        items = as_tuple(decode(data), 10, "proposal")
        version, proposer, tx_id, sweeping, changes, height, expires_at_ms, executed, approvals, ready = items
        if version != PROPOSAL_VERSION:
            raise CodecError(f"proposal version {version!a:.20} is not {PROPOSAL_VERSION}")
        return Proposal(
            _key(proposer, "proposer"),
            Digest(as_bytes(tx_id, "transaction id", length=32)),
            bool(as_int(sweeping, "sweeping", high=1)),
            changes_of(changes),
            as_int(height, "height"),
            as_int(expires_at_ms, "expires_at_ms"),
            None if executed is None else as_int(executed, "executed height"),
            tuple(_key(key, "approval") for key in as_array(approvals, VALIDATORS_MAX, "approvals")),
            tuple(map(_ready, as_array(ready, VALIDATORS_MAX, "ready"))),
        )


@dataclass(frozen=True, slots=True)
class OpenProposal:
    """An entry of the list of open proposals: what is needed to count and to forget them."""

    id: Digest
    proposer: PublicKey
    expires_at_ms: int
    has_joiners: bool


def encode_open(entries: Sequence[OpenProposal]) -> bytes:
    """The canonical bytes of the list."""
    return encode_trusted(
        tuple((entry.id, entry.proposer, entry.expires_at_ms, int(entry.has_joiners)) for entry in entries)
    )


def decode_open(stored: bytes | None) -> tuple[OpenProposal, ...]:
    """The list of open proposals, oldest first; none when it was never written. Raises CodecError."""
    if stored is None:
        return ()
    return tuple(map(_open, as_array(decode(stored), OPEN_MAX, "open proposals")))


def _open(value: Value) -> OpenProposal:
    proposal_id, proposer, expires_at_ms, has_joiners = as_tuple(value, 4, "open proposal")
    return OpenProposal(
        Digest(as_bytes(proposal_id, "proposal id", length=32)),
        _key(proposer, "proposer"),
        as_int(expires_at_ms, "expires_at_ms"),
        bool(as_int(has_joiners, "has joiners", high=1)),
    )


def _ready(value: Value) -> Readiness:
    key, height, time_ms = as_tuple(value, 3, "ready")
    return Readiness(_key(key, "consensus key"), as_int(height, "height"), as_int(time_ms, "time_ms"))


def _key(value: Value, what: str) -> PublicKey:
    return PublicKey(as_bytes(value, what, length=32))
