"""What a running node knows of itself and of its peers: numbers and words, as the API gives them."""

from dataclasses import dataclass

from node.condition import Condition


@dataclass(frozen=True, slots=True)
class PeerFacts:
    """One validator or other peer, as this node sees it.

    Times are milliseconds, None where nothing was seen since this node started. `certified_height`, `round`
    and the two below are what the peer said itself. `clock_skew_ms` is how far its proposals' timestamps lay
    ahead of this node's clock as they arrived, so it is a little too low by the time they travelled.
    """

    name: str
    node_key: bytes
    address: str
    connected: bool
    certified_height: int | None
    weight: int
    """0 for a peer that is no validator in this epoch."""
    connected_for_ms: int | None
    heard_ms_ago: int | None
    round: int | None
    last_vote_round: int | None
    missed_rounds: int
    """Rounds that others voted for and that were certified since its last vote, or since its link came up."""
    timeout_round: int | None
    """The last round that it gave up, however long ago."""
    timeout_reason: str
    """Why, in the protocol's words (`payload_unavailable`); empty when it gave none up."""
    clock_skew_ms: int | None
    missed_attestations: int
    """How many times in a row this node waited in vain for it to verify batches first (VC5)."""
    attests_late: bool
    """Something of it came since, too late for those."""
    queue_frames: int
    queue_bytes: int
    bytes_in: int
    bytes_out: int
    score: int
    banned_for_ms: int
    software: str
    protocol_newest: int | None
    """The newest protocol version that it speaks, as it said; None when it never was linked."""
    protocol_version: int | None
    """The one in use with it; None when it is not linked."""
    key_twice_ms_ago: int | None
    """When two processes were last seen to use its node key."""
    own_key_twice_ms_ago: int | None
    """When it last said so of this node's key."""
    told: Condition | None
    """What it said of itself last: its own words; None when it never did (protocol 5)."""
    told_ms_ago: int | None
    last_error: str

    @property
    def is_validator(self) -> bool:
        """Whether it counts in this epoch."""
        return self.weight > 0


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A validator whose turns to lead others take, because it failed to lead (rule C12)."""

    name: str
    since_round: int
    """The last round that it should have led and did not."""
    strikes: int
    """How often it failed, rows of rounds counted once."""
    is_silent: bool
    """No vote and no block of it stands on the chain since."""
    again_round: int
    """The first round that it may lead again, whatever it does until then."""

    @property
    def words(self) -> str:
        """Since when, why, and what brings it back."""
        failed = "once" if self.strikes == 1 else f"{self.strikes} times"
        since = f"left out as a leader since round {self.since_round} (it failed to lead {failed})"
        if not self.is_silent:
            return f"{since}; it votes, and leads again from round {self.again_round} on"
        return (
            f"{since}; its votes, once certificates show them, bring it back, and it is tried again "
            f"from round {self.again_round} on"
        )


@dataclass(frozen=True, slots=True)
class ProposedFeature:
    """A change of the rules that an open proposal would enable. `since_protocol` is the first protocol
    version whose software knows it; None when this node does not."""

    name: str
    since_protocol: int | None


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """The node that looks. Heights are headers'; times are milliseconds; `*_weight` are voting power."""

    name: str
    node_key: bytes
    cluster_name: str
    cluster_id: bytes
    version: str
    time_ms: int
    started_ms: int
    weight: int
    """0 for an observer, or a validator that is none in this epoch."""
    total_weight: int
    reachable_weight: int
    epoch: int
    round: int
    leader: str
    certified_round: int
    """Round of the highest quorum certificate."""
    last_vote_round: int
    failed_rounds: int
    """Rounds given up since the last commit."""
    round_timeout_ms: int
    committed_height: int
    certified_height: int
    stored_height: int
    pruned_below: int
    """Transactions below this height were pruned here; 0 when nothing was."""
    sync_target: int | None
    """The height it catches up to; None when it does not."""
    is_diverged: bool
    never_signs: bool
    """Its guard is lost (C14)."""
    floor_round: int
    floor_height: int
    """It signs above these only: its data was older than what its key had signed (C14). 0 otherwise."""
    missing_batches: int
    pending_transactions: int
    inbox: int
    inbox_max: int
    disk_free_bytes: int
    disk_reserve_bytes: int
    """Below so much free space clients are refused (C17)."""
    map_used_permille: int
    clock_tolerance_ms: int
    """How far ahead a proposal may be (C8)."""
    timed_out_now: tuple[str, ...]
    """Validators whose giving up of the current round was heard."""
    left_out: tuple[LeftOut, ...]
    """Validators that lead no rounds at present, this one itself perhaps among them."""
    proposed_features: tuple[ProposedFeature, ...]

    @property
    def height(self) -> int:
        """How far this node has come: while it catches up, agreement stands still and only storage moves."""
        return max(self.certified_height, self.stored_height)

    @property
    def has_quorum(self) -> bool:
        """Whether enough voting power is linked to commit."""
        return 3 * self.reachable_weight > 2 * self.total_weight
