"""The light client: what one cluster's ledger knows of another, and the few ways in which that changes.

A frozen value goes in, a frozen value or a typed refusal comes out; no clock, no network, no storage, so
that every node of the holding cluster computes the same (I8). The rules, each against one attack:

- a header is believed on the word of its own epoch's set, and sets follow each other link by link;
- an update proves that it extends what is held: the history it brings contains the old history as a prefix
  AND the old tip at its height (F2) - without the second, 100B..110B would pass after 100A;
- what fails is refused and changes nothing; only two certified statements freeze (F3);
- a client never expires: silent for too long it is STALE, takes updates as before, and is ACTIVE again when
  a fresh one comes; the next step across an epoch then needs witnesses from other clusters (F8);
- a recovered cluster goes on under its old identity in a later incarnation (F6, `recovering.py`).

    update  [[header bytes, certificate], [EpochLink, ...], consistency path, tip path]
"""

from dataclasses import dataclass, field, replace

from consensus import (
    CodecError,
    SignatureCache,
    ValidatorSet,
    as_tuple,
    decode,
    encode,
)
from node.anchoring.client.recovering import freeze, recover
from node.anchoring.client.state import TIME_AHEAD_MAX_MS, ClientState, Tip
from node.anchoring.cluster.anchors import ClientStatus, Point, Witness, path_from_value
from node.anchoring.cluster.certified import Certified
from node.anchoring.cluster.epochs import (
    LINKS_BYTES_MAX,
    EpochLink,
    follow_all,
    links_from_value,
    links_value,
)
from node.anchoring.cluster.identity import ClusterIdentity
from node.anchoring.cluster.operators import ROSTER_KEY, read_roster
from node.anchoring.refusals import Code, Refused
from node.proofs import ProofError, SmtProof, rfc6962, smt
from node.proofs.header import Header

__all__ = [
    "STALE_AFTER_MS",
    "TIME_AHEAD_MAX_MS",
    "UPDATE_BYTES_MAX",
    "Corroboration",
    "Update",
    "admit",
    "freeze",
    "recover",
    "register",
    "renew_operators",
    "required_witnesses",
    "retire",
    "tick",
    "update",
    "watch",
]

STALE_AFTER_MS = 24 * 3_600_000
UPDATE_BYTES_MAX = LINKS_BYTES_MAX + 64 * 1024
_DEPTH_MAX = 5
_ITEMS_MAX = 512 * 1024


@dataclass(frozen=True, slots=True)
class Update:
    """A newer certified header, the links to its epoch, and the two proofs that it extends what is held."""

    certified: Certified
    links: tuple[EpochLink, ...]
    consistency_path: tuple[bytes, ...]
    tip_path: tuple[bytes, ...]

    def encode(self) -> bytes:
        """The canonical bytes."""
        return encode(
            (self.certified.to_value(), links_value(self.links), self.consistency_path, self.tip_path)
        )

    @staticmethod
    def decode(data: bytes) -> "Update":
        """The inverse of `encode`; raises CodecError."""
        value = decode(data, max_bytes=UPDATE_BYTES_MAX, max_depth=_DEPTH_MAX, max_items=_ITEMS_MAX)
        certified, links, consistency, tip = as_tuple(value, 4, "update")
        return Update(
            Certified.from_value(certified),
            links_from_value(links),
            path_from_value(consistency, "consistency path"),
            path_from_value(tip, "tip path"),
        )


@dataclass(frozen=True, slots=True)
class Corroboration:
    """Who else vouches for a branch when epochs passed that nobody watched: at admission and after a silence.

    `required` is `required_witnesses(...)`; where it is 0, `is_approved` says that the operators approved
    (F8). The caller proved each witness's anchor at its own client of that cluster, and that client is ACTIVE
    and not the holder's own.
    """

    required: int = 0
    witnesses: tuple[Witness, ...] = field(default=())
    is_approved: bool = False


def required_witnesses(wanted: int, others: int) -> int:
    """How many witnesses a gap across epochs needs: `wanted` (m), and never more than there are `others`:
    ACTIVE clusters that are neither the holder nor the one in question (F8)."""
    return min(wanted, others)


# --- the transitions -------------------------------------------------------------------------------


def register(identity: ClusterIdentity) -> ClientState:
    """The client of a cluster of which only the genesis is known; PENDING until the federation admits it."""
    return ClientState(
        identity.cluster_id,
        identity.name,
        0,
        identity.validators,
        identity.validators,
        identity.operators,
        Tip.of(identity.genesis_header),
        ClientStatus.PENDING,
    )


def admit(state: ClientState, corroboration: Corroboration) -> ClientState:
    """PENDING -> ACTIVE, once the holder's governance admitted it. Others must see the same tip: of a
    newcomer only the genesis was known, and keys of its old epochs may have leaked (3.7).

    Raises Refused CLIENT_NOT_PENDING, NEEDS_APPROVAL, NEEDS_WITNESSES, BAD_WITNESS.
    """
    if state.status is not ClientStatus.PENDING:
        raise Refused(Code.CLIENT_NOT_PENDING, f"{state.name} is {state.status.name}, not PENDING")
    _check_corroborated(state, state.epoch, state.last.point, -1, corroboration)
    return replace(state, status=ClientStatus.ACTIVE, is_admitted=True)


def tick(state: ClientState, now_ms: int, stale_after_ms: int = STALE_AFTER_MS) -> ClientState:
    """ACTIVE -> STALE when the tip is older than `stale_after_ms` at the holder's block time `now_ms`."""
    if state.status is ClientStatus.ACTIVE and now_ms - state.last.time_ms > stale_after_ms:
        return replace(state, status=ClientStatus.STALE)
    return state


def update(
    state: ClientState,
    update: Update,
    now_ms: int,
    cache: SignatureCache,
    *,
    stale_after_ms: int = STALE_AFTER_MS,
    corroboration: Corroboration | None = None,
) -> ClientState:
    """The client with the update's header as its tip. Accepts exactly what extends the tip.

    Raises Refused: CLIENT_FROZEN, CLIENT_RETIRED; NOT_NEWER (another header at a height that is held is the
    business of `freeze`); TIME_NOT_LATER, TIME_AHEAD; EPOCH_ENDED; what `follow_all` and `Certified.check`
    refuse; NOT_CONSISTENT, TIP_NOT_INCLUDED; NEEDS_* and BAD_WITNESS when epochs passed and the client is
    STALE, or was since others vouched for an epoch of it.
    Everything without a signature is checked first; whatever is refused leaves no trace (F3).
    """
    state = tick(state, now_ms, stale_after_ms)
    _check_alive(state)
    header, last = update.certified.header, state.last
    if header.height <= last.height:
        raise Refused(Code.NOT_NEWER, f"header {header.height} is not above the anchored {last.height}")
    if header.time_ms <= last.time_ms:
        raise Refused(
            Code.TIME_NOT_LATER, f"header {header.height} is of {header.time_ms} ms, held is {last.time_ms}"
        )
    if header.time_ms > now_ms + TIME_AHEAD_MAX_MS:
        raise Refused(
            Code.TIME_AHEAD, f"header {header.height} is of {header.time_ms} ms, it is {now_ms} ms here"
        )
    _check_links_fit(last, update)
    _check_extends(last, header, update)
    if state.needs_others and update.links:
        end = update.links[-1].ending.header.height
        _check_corroborated(state, header.epoch, Point.of(header), end, corroboration or Corroboration())
    sets = follow_all(
        update.links,
        state.validators,
        state.cluster_id,
        cache,
        incarnation=state.incarnation,
        tops=(update.certified,),
    )
    is_unwatched = state.needs_others and not update.links
    status = state.status
    if status is not ClientStatus.PENDING:
        is_fresh = now_ms - header.time_ms <= stale_after_ms
        status = ClientStatus.ACTIVE if is_fresh else ClientStatus.STALE
    return replace(state, validators=sets[-1], last=Tip.of(header), status=status, is_unwatched=is_unwatched)


def watch(state: ClientState, corroboration: Corroboration) -> ClientState:
    """A client that healed within its epoch, once others hold its tip's branch too. Raises Refused
    NEEDS_APPROVAL, NEEDS_WITNESSES, BAD_WITNESS."""
    _check_corroborated(state, state.epoch, state.last.point, -1, corroboration)
    return replace(state, is_unwatched=False)


def renew_operators(state: ClientState, roster: bytes, proof: SmtProof) -> ClientState:
    """The client with the operators whom the cluster's own governance installed: `roster` is the leaf at
    `governance/validators` in the anchored state, of the epoch and the set that the client holds.

    Raises Refused: CLIENT_FROZEN (convicted sets may have written any roster), CLIENT_RETIRED and
    ROSTER_MISMATCH, also while nothing of a new incarnation is anchored: the base is those sets' word.
    """
    _check_alive(state)
    if state.is_at_base:
        raise Refused(
            Code.ROSTER_MISMATCH,
            f"the roster is of incarnation {state.last.incarnation}, before {state.incarnation}",
        )
    try:
        smt.verify_presence(state.last.state_root, ROSTER_KEY, roster, proof)
        validators, operators = read_roster(roster)
    except (ProofError, CodecError) as error:
        raise Refused(Code.ROSTER_MISMATCH, str(error)) from error
    if validators != state.validators:
        raise Refused(
            Code.ROSTER_MISMATCH,
            f"the roster is of epoch {validators.epoch}, set {validators.hash().hex()}; held are "
            f"{state.epoch}, {state.validators.hash().hex()}",
        )
    return replace(state, operators=ValidatorSet(state.origin.epoch, operators.validators))


def retire(state: ClientState) -> ClientState:
    """The client RETIRED, for ever; its tip stays provable."""
    return replace(state, status=ClientStatus.RETIRED)


# --- what an update must prove ---------------------------------------------------------------------


def _check_alive(state: ClientState) -> None:
    if state.status is ClientStatus.FROZEN:
        raise Refused(Code.CLIENT_FROZEN, f"{state.name} certified two histories; only a recovery helps")
    if state.status is ClientStatus.RETIRED:
        raise Refused(Code.CLIENT_RETIRED, f"{state.name} has left the federation")


def _check_links_fit(last: Tip, update: Update) -> None:
    """Links rise from the tip to below the header; a tip that ended its epoch is itself the first link."""
    height = last.height
    for position, link in enumerate(update.links):
        ending = link.ending.header
        is_tip = position == 0 and (ending.height, ending.hash) == (last.height, last.header_hash)
        if ending.height <= height and not is_tip:
            raise Refused(Code.LINK_HEIGHT, f"an epoch ends at {ending.height}, not above {height}")
        if position == 0 and last.next_validators_hash is not None and not is_tip:
            raise Refused(Code.EPOCH_ENDED, f"header {last.height} ended its epoch already")
        height = ending.height
    if update.certified.header.height <= height:
        raise Refused(
            Code.LINK_HEIGHT, f"header {update.certified.header.height} is not above the last end {height}"
        )
    if last.next_validators_hash is not None and not update.links:
        raise Refused(Code.EPOCH_ENDED, f"header {last.height} ended its epoch; the link is missing")


def _check_extends(last: Tip, header: Header, update: Update) -> None:
    """The new history begins with the held one, and holds the tip at its height: both, or a fork passes."""
    try:
        if last.height > 0:
            rfc6962.verify_consistency(
                last.height, last.history_root, header.height, header.history_root, update.consistency_path
            )
        elif update.consistency_path:
            raise ProofError("nothing precedes height 0, so there is no consistency path")
    except ProofError as error:
        raise Refused(Code.NOT_CONSISTENT, str(error)) from error
    try:
        Point.of(header).check_holds(last.height, last.header_hash, update.tip_path)
    except ProofError as error:
        raise Refused(Code.TIP_NOT_INCLUDED, str(error)) from error


def _check_corroborated(
    state: ClientState, epoch: int, point: Point, above: int, corroboration: Corroboration
) -> None:
    if corroboration.required == 0:
        if not corroboration.is_approved:
            raise Refused(
                Code.NEEDS_APPROVAL,
                f"nobody watched {state.name} come to epoch {epoch}; operators must approve",
            )
        return
    seers = {witness.seer for witness in corroboration.witnesses} - {state.cluster_id}
    if len(seers) < corroboration.required:
        raise Refused(
            Code.NEEDS_WITNESSES,
            f"{len(seers)} clusters watched {state.name} come to epoch {epoch}, "
            f"{corroboration.required} are needed",
        )
    for witness in corroboration.witnesses:
        witness.check_agrees(state.incarnation, epoch, point, above)
