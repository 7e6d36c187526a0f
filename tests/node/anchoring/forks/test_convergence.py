"""Two judges that were shown the same, in whatever order, think the same of a cluster (F6).

A judge is what couriers and operators make of a light client: whatever it was ever shown is offered again
until nothing changes any more, since evidence may come after the recovery that names it, or a header after
the one that follows it. Which part of all there is a judge is shown, and in which order, is drawn.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consensus import SignatureCache
from node.anchoring.client import recovering
from node.anchoring.client.lightclient import Update, freeze, recover, update
from node.anchoring.client.state import ClientState
from node.anchoring.cluster.anchors import ClientStatus
from node.anchoring.forks.evidence import ForkEvidence, ForkKind, Statement, Verdict
from node.anchoring.forks.recovery import RecoveredBy, RecoveryCertificate
from node.anchoring.refusals import Code, Refused
from tests.node.anchoring.chains import START_MS, Chain, keys
from tests.node.anchoring.client.test_lightclient import active

Shown = ForkEvidence | RecoveryCertificate | tuple[Chain, int]
"""Evidence, a recovery, or the header of this height of a chain."""
CACHE = SignatureCache()
NOW_MS = START_MS + 60_000


@dataclass(frozen=True)
class Case:
    """How every judge begins, and all that there is to be shown, in the order in which it was made."""

    begins: ClientState
    objects: tuple[Shown, ...]


def evidence(one: Chain, other: Chain, height: int, first: Sequence[int], second: Sequence[int]) -> Shown:
    links = one.links(until=one.headers[height].epoch)
    statements = (Statement(one.certified(height, first)), Statement(other.certified(height, second)))
    return ForkEvidence(ForkKind.TWO_HEADERS, height, links, *statements)


def accused_by(chain: Chain, begins: ClientState, *pieces: Shown) -> None:
    """Recoveries of the chain name all that these pieces prove."""
    for piece in pieces:
        assert isinstance(piece, ForkEvidence)
        begins, _ = freeze(begins, piece, CACHE)
    chain.accusations = (begins.accused, begins.convicted)


def of_seven() -> Case:
    """Seven validators fork; 0 and 1 sign the first recovery, and what proves 0 guilty is kept back. Another
    replaces it, on the other branch, and the cluster forks again and is recovered again."""
    chain = Chain(weights=(1,) * 7).grow(8)
    other = chain.fork(5).grow(4, salt="b")
    begins = active(chain, 6)
    shown = evidence(chain, other, 8, (0, 1, 2, 3, 4), (2, 3, 4, 5, 6))
    kept_back = evidence(chain, other, 7, (0, 2, 3, 4, 5), (0, 2, 3, 4, 6))
    accused_by(chain, begins, shown)
    first_set, operators = keys("harbour", first=10), keys("harbour/operator", first=10)
    first = chain.recovery(7, first_set, operators, (0, 1, 5))
    dropped = chain.recovered(7, first_set, operators).grow(3)
    accused_by(other, begins, shown, kept_back)
    second_set = keys("harbour", first=20)
    second = other.recovery(8, second_set, operators, (1, 5), replaces=1)
    living = other.recovered(8, second_set, operators, skipped=1).grow(4)
    beside = living.fork(10).grow(2, salt="c")
    again = evidence(living, beside, 12, (0, 1, 2), (1, 2, 3))
    living.accusations = (tuple(sorted(key.public_key for key in second_set.keys[1:3])), second_set.set(2))
    third_set = keys("harbour", first=30)
    third = living.recovery(11, third_set, operators, (0, 3))
    last = living.recovered(11, third_set, operators).grow(2)
    pieces = (shown, first, (dropped, 9), kept_back, second, (living, 10), again, third, (last, 13))
    return Case(begins, pieces)


def merely_stopped() -> Case:
    """A cluster that seems to have stopped is recovered by those who had forked it, and kept that back."""
    chain = Chain().grow(8)
    other = chain.fork(5).grow(4, salt="b")
    begins = active(chain, 8)
    stopped = chain.recovery(8, keys("harbour", first=10), chain.operators, (0, 1, 2))
    going_on = chain.recovered(8, keys("harbour", first=10), chain.operators).grow(3)
    kept_back = evidence(chain, other, 8, (0, 1, 2, 3), (0, 1, 2, 3))
    more = evidence(chain, other, 7, (0, 1, 3), (0, 1, 3))
    accused_by(chain, begins, kept_back)
    by = RecoveredBy.OPERATORS
    better = chain.recovery(8, keys("harbour", first=20), chain.operators, (0, 1, 3), by, replaces=1)
    living = chain.recovered(8, keys("harbour", first=20), chain.operators, skipped=1).grow(2)
    return Case(begins, (stopped, (going_on, 9), (going_on, 10), kept_back, more, better, (living, 10)))


def puppets() -> Case:
    """Who forked the first epoch names a second set, lets it convict itself, and recovers by the rest of it;
    then the first fork comes to light. A judge of the first epoch sees both."""
    common = Chain().grow(4)
    branches = [
        common.fork(4).grow(2, salt=salt, next_set=keys(f"set-{salt}")).grow(3, salt=salt) for salt in "ab"
    ]
    chain, other = branches
    begins = active(common, 4)
    inner = chain.fork(7).grow(2, salt="inner")
    late = evidence(chain, inner, 8, (0, 1, 2), (1, 2, 3))
    accused_by(chain, begins, late)
    new, operators = keys("harbour", first=10), keys("harbour/operator", first=10)
    first = chain.recovery(7, new, operators, (0, 3), with_links=True)
    early = evidence(chain, other, 6, (0, 1, 2), (1, 2, 3))
    accused_by(common, begins, early)
    second = common.recovery(4, keys("harbour", first=20), operators, (0, 3), replaces=1)
    going_on = chain.recovered(7, new, operators).grow(2)
    return Case(begins, (late, first, early, (going_on, 8), second))


def followed_by_a_child() -> Case:
    """The tainted incarnation is recovered itself before everybody has heard of the taint. What is replaced
    in the end is the tainted recovery, with all that stands on it."""
    whole = of_seven()
    shown, first, (dropped, _), kept_back = whole.objects[:4]  # type: ignore[misc]  # the third is a header
    assert isinstance(dropped, Chain)
    child = dropped.recovery(9, keys("harbour", first=40), keys("harbour/operator", first=40), (0, 1, 2))
    last = dropped.recovered(9, keys("harbour", first=40), keys("harbour/operator", first=40)).grow(2)
    chain = dropped.fork(7)
    chain.incarnation = 0
    accused_by(chain, whole.begins, shown, kept_back)
    new, operators = keys("harbour", first=50), keys("harbour/operator", first=50)
    better = chain.recovery(7, new, operators, (1, 5), replaces=2)
    return Case(whole.begins, (shown, first, (dropped, 9), kept_back, child, (last, 11), better))


def beside_what_was_anchored() -> Case:
    """A cluster that seems to have stopped is recovered twice, the second time on another branch than the one
    that everybody anchored; then that it forked comes to light."""
    chain = Chain().grow(8)
    other = chain.fork(5).grow(4, salt="b")
    begins = active(chain, 8)
    new = [keys("harbour", first=first) for first in (10, 20, 30)]
    stopped = chain.recovery(8, new[0], chain.operators, (0, 1, 2))
    beside = other.recovery(9, new[1], chain.operators, (0, 1, 2), replaces=1)
    on, astray = (
        chain.recovered(8, new[0], chain.operators).grow(2),
        other.recovered(9, new[1], chain.operators, skipped=1).grow(2),
    )
    kept_back = evidence(chain, other, 8, (0, 1, 2), (1, 2, 3))
    accused_by(chain, begins, kept_back)
    better = chain.recovery(8, new[2], chain.operators, (0, 3), replaces=2)
    return Case(begins, (stopped, (on, 9), beside, (astray, 10), kept_back, better))


CASES = {
    make.__name__: make()
    for make in (of_seven, merely_stopped, puppets, followed_by_a_child, beside_what_was_anchored)
}


# --- judges ------------------------------------------------------------------------------------------


Freezing = Callable[[ClientState, ForkEvidence, SignatureCache], tuple[ClientState, Verdict]]
Recovering = Callable[[ClientState, RecoveryCertificate, int, SignatureCache], ClientState]


@dataclass(frozen=True)
class Judge:
    """The rules by which somebody judges."""

    freeze: Freezing = freeze
    recover: Recovering = recover


def after(judge: Judge, state: ClientState, shown: Shown) -> ClientState:
    """What becomes of a client that is shown this; a refusal changes nothing."""
    try:
        if isinstance(shown, ForkEvidence):
            return judge.freeze(state, shown, CACHE)[0]
        if isinstance(shown, RecoveryCertificate):
            return judge.recover(state, shown, NOW_MS, CACHE)
        chain, height = shown
        return update(state, extending(state, chain, height), chain.now_ms, CACHE)
    except Refused:
        return state


def extending(state: ClientState, chain: Chain, height: int) -> Update:
    """The update that leads to this header, if the chain holds the client's tip; any other is refused."""
    since = state.last.height
    if since >= height or chain.headers[since].hash != state.last.header_hash:
        return chain.update(0, height)
    return chain.update(since, height)


def judged(case: Case, order: Sequence[int], judge: Judge = Judge()) -> ClientState:
    """A judge that is shown these objects in this order, each again until nothing changes."""
    state, known = case.begins, []
    for number in order:
        known.append(case.objects[number])
        settled = None
        while settled != state:
            settled = state
            for shown in known:
                state = after(judge, state, shown)
    return state


def thought(state: ClientState) -> tuple[object, ...]:
    """What a judge thinks. Unless it is frozen, its tip counts; where a freeze met it is a matter of time."""
    before = state.before
    basis = None
    if before is not None:
        held = before.client
        basis = (held.incarnation, held.accused, held.convicted, before.base_height, before.signers)
    tip = None if state.status is ClientStatus.FROZEN else (state.last, state.validators)
    return (
        state.incarnation,
        state.status,
        state.origin,
        state.operators,
        state.accused,
        state.convicted,
        basis,
        tip,
    )


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_two_judges_that_were_shown_the_same_in_any_order_think_the_same(
    name: str, data: st.DataObject
) -> None:
    case = CASES[name]
    part = data.draw(st.sets(st.integers(0, len(case.objects) - 1), min_size=2))
    orders = [data.draw(st.permutations(sorted(part))) for _ in range(2)]
    one, other = (judged(case, order) for order in orders)
    assert thought(one) == thought(other)


ENDS = {
    "of_seven": (3, ClientStatus.ACTIVE, 13),
    "merely_stopped": (2, ClientStatus.ACTIVE, 10),
    "puppets": (2, ClientStatus.ACTIVE, 4),
    "followed_by_a_child": (3, ClientStatus.ACTIVE, 7),
    "beside_what_was_anchored": (3, ClientStatus.ACTIVE, 8),
}


@pytest.mark.parametrize("name", CASES)
def test_who_was_shown_all_of_it_goes_on_where_the_last_recovery_says(name: str) -> None:
    case = CASES[name]
    for order in (range(len(case.objects)), reversed(range(len(case.objects)))):
        state = judged(case, tuple(order))
        assert (state.incarnation, state.status, state.last.height) == ENDS[name]


# --- what keeps judges together ----------------------------------------------------------------------


def tainted_is_refused(
    state: ClientState, recovery: RecoveryCertificate, now_ms: int, cache: SignatureCache
) -> ClientState:
    taken = recover(state, recovery, now_ms, cache)
    return state if taken.status is ClientStatus.FROZEN else taken


def replaced_before_its_first_header_only(
    state: ClientState, recovery: RecoveryCertificate, now_ms: int, cache: SignatureCache
) -> ClientState:
    is_child = recovery.base.header.incarnation == state.incarnation
    return recover(state, recovery, now_ms, cache) if is_child or state.is_at_base else state


def the_first_recovery_stands(
    state: ClientState, recovery: RecoveryCertificate, now_ms: int, cache: SignatureCache
) -> ClientState:
    is_child = recovery.base.header.incarnation == state.incarnation
    return recover(state, recovery, now_ms, cache) if is_child else state


def evidence_of_before_is_refused(
    state: ClientState, piece: ForkEvidence, cache: SignatureCache
) -> tuple[ClientState, Verdict]:
    if piece.first.certified.header.incarnation != state.incarnation:
        raise Refused(Code.WRONG_INCARNATION, "that incarnation is over")
    return freeze(state, piece, cache)


def thoughts(case: Case, part: Sequence[int], judge: Judge) -> int:
    """To how many thoughts the orders of these objects lead."""
    return len({thought(judged(case, order, judge)) for order in permutations(part)})


@pytest.mark.parametrize("name", CASES)
def test_in_every_order_of_a_few_objects_judges_think_the_same(name: str) -> None:
    case = CASES[name]
    for part in combinations(range(min(6, len(case.objects))), 3):
        assert thoughts(case, part, Judge()) == 1


MUTANTS = (
    ("of_seven", (0, 1, 3), Judge(recover=tainted_is_refused)),
    ("of_seven", (0, 1, 3), Judge(freeze=evidence_of_before_is_refused)),
    ("merely_stopped", (0, 1, 3, 5), Judge(recover=replaced_before_its_first_header_only)),
    ("merely_stopped", (0, 1, 3, 5), Judge(recover=the_first_recovery_stands)),
)


@pytest.mark.parametrize(("name", "part", "mutant"), MUTANTS)
def test_judges_without_the_rule_part(name: str, part: tuple[int, ...], mutant: Judge) -> None:
    assert thoughts(CASES[name], part, Judge()) == 1
    assert thoughts(CASES[name], part, mutant) > 1


def test_judges_who_let_the_guilty_sign_never_part_and_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other way to agree: to overlook what a recovery does not name."""
    monkeypatch.setattr(recovering, "_is_tainted", lambda *_: False)
    assert judged(CASES["of_seven"], (0, 3, 1)).status is ClientStatus.ACTIVE
    monkeypatch.undo()
    assert judged(CASES["of_seven"], (0, 3, 1)).status is ClientStatus.FROZEN
