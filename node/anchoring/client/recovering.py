"""How evidence freezes a client, and how a recovery lets it go on in a later incarnation (F3, F5, F6).

Clusters are shown evidence and recoveries in different orders, late, and some of them not at all. They must
not part over it, so whoever was shown the same ends in the same incarnation and status, but for evidence of
an epoch that had ended where it came late (SPEC section 9):

- **The higher number stands.** A recovery is taken if its number is above the client's incarnation and its
  base of that incarnation; or of one before: then it replaces the recovery that was taken there, and what
  followed, also where headers were anchored since, which are a dropped branch from then on.
- **It is judged by what it names**: the keys that it says are accused must be so here, and whose signatures
  count follows from them alone.
- **What it does not name taints it**, whether it was known before or comes after: a signer or a successor who
  is accused, an earlier set that is convicted. A tainted recovery is taken all the same, or clusters that
  learned of it sooner would be left behind; the client is FROZEN in the incarnation that it begins, and in
  those that stand on it, until a recovery replaces the tainted one.

A taint lasts until the client's tip is a week later than the block in which it took the recovery. After that
the keys that were retired with the incarnation before have no say: they may have leaked (F5). How long that
is, is in nobody's hands: neither tip nor base is much ahead of the holder's own time.
"""

from dataclasses import replace

from consensus import PublicKey, SignatureCache, ValidatorSet
from node.anchoring.client.state import BEFORE_MAX, TIME_AHEAD_MAX_MS, Before, ClientState, Tip
from node.anchoring.cluster.anchors import ClientStatus, Point
from node.anchoring.cluster.epochs import check_links_signed, named_sets
from node.anchoring.forks.evidence import ForkEvidence, HeldBranch, Verdict, judge
from node.anchoring.forks.recovery import (
    ACCUSED_MAX,
    RecoveredBy,
    RecoveryCertificate,
    is_tainted,
    rank_of,
    signing_set,
)
from node.anchoring.refusals import Code, Refused
from node.proofs import ProofError
from node.proofs.header import Header


def freeze(
    state: ClientState, evidence: ForkEvidence, cache: SignatureCache, held: HeldBranch | None = None
) -> tuple[ClientState, Verdict]:
    """The client with the accused keys beside those accused before, and the verdict. Evidence of its
    incarnation leaves it FROZEN; evidence of one before only if it taints the recovery since.

    Raises Refused: CLIENT_RETIRED, ACCUSED_FULL, PAST_EPOCH for true evidence that only accuses, and
    whatever `judge` refuses: nothing but two certified statements freezes.
    """
    if state.status is ClientStatus.RETIRED:
        raise Refused(Code.CLIENT_RETIRED, f"{state.name} has left the federation")
    before = state.before
    if before is not None and evidence.first.certified.header.incarnation < state.incarnation:
        accused, verdict = freeze(before.client, evidence, cache, held)
        told = replace(state, before=replace(before, client=accused))
        is_frozen = _is_tainted(told, state.last.time_ms)
        return replace(told, status=ClientStatus.FROZEN if is_frozen else state.status), verdict
    verdict = judge(evidence, state.ground, cache, held)
    if not verdict.freezes:
        raise Refused(Code.PAST_EPOCH, verdict.reason)
    convicted = state.convicted
    if convicted is None or rank_of(verdict.validators) < rank_of(convicted):
        convicted = verdict.validators
    named = _accused_with(state, verdict, convicted)
    return replace(state, status=ClientStatus.FROZEN, accused=named, convicted=convicted), verdict


def recover(
    state: ClientState,
    recovery: RecoveryCertificate,
    now_ms: int,
    cache: SignatureCache,
    tip_path: tuple[bytes, ...] = (),
) -> ClientState:
    """The client of the incarnation that the recovery begins: tip at its base, its set, nobody accused;
    ACTIVE if admitted, FROZEN where it is tainted. `now_ms` is the holder's block time.

    That the operators here approved it is the caller's to know. An unfrozen client takes no base but its own
    tip, so that nothing it anchored is dropped without evidence (F3). What replaces a recovery is judged as
    that was, by what was held before it: if that is unfrozen, its base is that tip, or `tip_path` proves that
    tip in the base's history, and that becomes its tip.

    Raises Refused: CLIENT_RETIRED, WRONG_INCARNATION (also for a recovery that was applied already),
    TIME_AHEAD, UNKNOWN_SET, RECOVERY_BASE, RECOVERY_EVIDENCE, RECOVERY_*, LINK_HEIGHT, and what
    `Certified.check` refuses. All that needs no signature is checked first.
    """
    if state.status is ClientStatus.RETIRED:
        raise Refused(Code.CLIENT_RETIRED, f"{state.name} has left the federation")
    old, lowest = _judging(state, recovery, tip_path)
    base = recovery.base.header
    if base.time_ms > now_ms + TIME_AHEAD_MAX_MS:
        raise Refused(Code.TIME_AHEAD, f"base {base.height} is of {base.time_ms} ms, it is {now_ms} ms here")
    sets = named_sets(
        recovery.links,
        _begins(old, recovery),
        old.cluster_id,
        incarnation=old.incarnation,
        above=lowest - 1,
    )
    recovery.check_base_claims(old.cluster_id, old.incarnation, sets[-1])
    signing = signing_set(sets, recovery.convicted)
    recovery.check_bound(signing, old.accused, old.convicted)
    recovery.check_signed(signing, old.operators, cache)
    recovery.base.check_signatures(old.cluster_id, sets[-1], cache)
    check_links_signed(recovery.links, sets, old.cluster_id, cache)
    signers = recovery.signer_keys(signing) if recovery.by is RecoveredBy.VALIDATORS else ()
    if old.status is not ClientStatus.FROZEN:
        old = replace(old, validators=sets[-1], last=Tip.of(base))
    before = Before(old.remembering(BEFORE_MAX - 1), lowest, base.height, signers, recovery.convicted, now_ms)
    begun = replace(
        state,
        incarnation=recovery.incarnation,
        validators=recovery.validators,
        origin=recovery.validators,
        operators=recovery.operators,
        last=replace(Tip.of(base), next_validators_hash=None),
        status=ClientStatus.ACTIVE if state.is_admitted else ClientStatus.PENDING,
        is_unwatched=False,
        accused=(),
        convicted=None,
        before=before,
    )
    return replace(begun, status=ClientStatus.FROZEN) if _is_tainted(begun, base.time_ms) else begun


def _is_tainted(state: ClientState, time_ms: int) -> bool:
    """Whether the recovery that began this incarnation, or one on which that stands, is tainted for a client
    whose tip is of `time_ms`."""
    before = state.before
    if before is None or not before.is_accountable(time_ms):
        return False
    client = before.client
    named = (*before.signers, *(validator.public_key for validator in state.origin.validators))
    is_own = is_tainted(named, before.convicted, client.accused, client.convicted)
    return is_own or _is_tainted(client, time_ms)


def _judging(
    state: ClientState, recovery: RecoveryCertificate, tip_path: tuple[bytes, ...]
) -> tuple[ClientState, int]:
    """The client as it was in the incarnation of the base, and the lowest height of that. Raises Refused
    WRONG_INCARNATION, RECOVERY_BASE."""
    base = recovery.base.header
    if recovery.incarnation > state.incarnation:
        if base.incarnation == state.incarnation:
            _check_base(state, recovery)
            return state, state.lowest
        before = state.before
        while before is not None and before.client.incarnation > base.incarnation:
            before = before.client.before
        if before is not None and before.client.incarnation == base.incarnation:
            _check_replacing(before, base, tip_path)
            return before.client, before.lowest
    raise Refused(
        Code.WRONG_INCARNATION,
        f"recovery to {recovery.incarnation} on base of {base.incarnation}, held is {state.incarnation}",
    )


def _check_replacing(before: Before, base: Header, tip_path: tuple[bytes, ...]) -> None:
    """Without evidence nothing goes that was anchored. Raises Refused RECOVERY_BASE."""
    client = before.client
    if client.convicted is None and base.height < before.base_height:
        raise Refused(
            Code.RECOVERY_BASE,
            f"base {base.height} is below {before.base_height}, that of the recovery it replaces",
        )
    if client.status is ClientStatus.FROZEN:
        return
    try:
        Point.of(base).check_holds(client.last.height, client.last.header_hash, tip_path)
    except ProofError as error:
        raise Refused(
            Code.RECOVERY_BASE,
            f"nobody is convicted, and base {base.height} is not shown to contain {client.last.height}, that "
            f"of the recovery it replaces: {error}",
        ) from error


def _check_base(state: ClientState, recovery: RecoveryCertificate) -> None:
    base, last = recovery.base.header, state.last
    is_tip = (base.height, base.hash) == (last.height, last.header_hash)
    if state.status is not ClientStatus.FROZEN and not is_tip:
        raise Refused(
            Code.RECOVERY_BASE, f"base {base.height} is not the anchored tip {last.height}; anchor it first"
        )
    if base.height < state.lowest:
        raise Refused(
            Code.RECOVERY_BASE, f"base {base.height} is below {state.lowest}, where its incarnation began"
        )


def _begins(state: ClientState, recovery: RecoveryCertificate) -> ValidatorSet:
    """The set that the links begin at; without links, the base's own, if it is held."""
    if recovery.links:
        return state.origin
    epoch = recovery.base.header.epoch
    for known in (state.validators, state.origin):
        if known.epoch == epoch:
            return known
    raise Refused(Code.UNKNOWN_SET, f"nothing is known of the validators of epoch {epoch}; add the links")


def _accused_with(state: ClientState, verdict: Verdict, convicted: ValidatorSet) -> tuple[PublicKey, ...]:
    """Who stands accused after `verdict`. Forkers invent later sets at will and let them convict themselves,
    so where there is no room for all, others make room for the accused members of the `convicted` set."""
    accused = {*state.accused, *verdict.accused}
    if len(accused) > ACCUSED_MAX:
        if rank_of(verdict.validators) != rank_of(convicted):
            raise Refused(Code.ACCUSED_FULL, f"{len(accused)} accused keys exceed {ACCUSED_MAX}")
        accused = {key for key in accused if convicted.index_of(key) is not None}
    return tuple(sorted(accused))
