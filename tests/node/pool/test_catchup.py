"""Catching up (C25) with peers that are honest, slow, empty-handed or lying."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus import (
    Block,
    Digest,
    HeaderCertificate,
    Height,
    InvalidCertificate,
    InvalidMessage,
    Proposal,
    SignatureCache,
    as_tuple,
    decode,
    encode,
    verify,
)
from node.pool.catchup import CatchUp, CatchUpConfig
from node.pool.effects import (
    CatchUpEffect,
    Execute,
    Penalise,
    Send,
    SyncDiverged,
    SyncFinished,
    SyncProgress,
    Wake,
)
from node.pool.messages import SyncRequest, SyncResponse
from node.pool.serving import serve
from node.pool.sources import SourceLimits, Sources
from node.pool.verifying import Judgement, Trust, verify_range
from tests.node.pool.chain import Chain, certificate_of, proposal_of
from tests.node.pool.world import CLUSTER, CONFIG, KEYS, START_MS

CHAIN = Chain(30)
SETTINGS = CatchUpConfig(CONFIG, range_heights=4, ranges_max=3, execute_ahead=5)
PEERS = [key.public_key for key in KEYS[1:4]]
Answerer = Callable[[SyncRequest], SyncResponse | None]


class Syncing:
    """One node that catches up; peers answer by functions, execution by looking the header up."""

    def __init__(self, chain: Chain, config: CatchUpConfig = SETTINGS, *, at: int = 0) -> None:
        self.chain = chain
        self.known_epochs = 1 + sum(
            1 for h in range(1, at + 1) if chain.headers[h].next_validators_hash is not None
        )
        self.machine = CatchUp(config, Trust(self.judge_certificate, self.judge_proposal))
        self.at = at
        self.now_ms = START_MS
        self.wake_ms: int | None = None
        self.requests: list[tuple[bytes, SyncRequest]] = []
        self.executing: list[Execute] = []
        self.executed: list[int] = []
        self.finished: list[SyncFinished] = []
        self.diverged: list[SyncDiverged] = []
        self.penalised: list[Penalise] = []
        self.progress: list[SyncProgress] = []
        self.cache = SignatureCache()

    def judge_certificate(self, certificate: HeaderCertificate) -> Judgement:
        if certificate.epoch >= self.known_epochs:
            return Judgement.UNKNOWN_EPOCH
        try:
            validators = replace(self.chain.validators, epoch=certificate.epoch)
            certificate.verify(CLUSTER, validators, self.cache)
        except InvalidCertificate:
            return Judgement.INVALID
        return Judgement.VALID

    def judge_proposal(self, proposal: Proposal) -> Judgement:
        if proposal.block.epoch >= self.known_epochs:
            return Judgement.UNKNOWN_EPOCH
        key = KEYS[proposal.block.author].public_key
        good = verify(key, proposal.digest(), proposal.signature)
        return Judgement.VALID if good else Judgement.INVALID

    def perform(self, effects: list[CatchUpEffect]) -> None:
        for effect in effects:
            match effect:
                case Send(peer, SyncRequest() as request):
                    self.requests.append((peer, request))
                case Execute():
                    self.executing.append(effect)
                case SyncFinished():
                    self.finished.append(effect)
                case SyncDiverged():
                    self.diverged.append(effect)
                case Penalise():
                    self.penalised.append(effect)
                case SyncProgress():
                    self.progress.append(effect)
                case Wake(delay_ms):
                    self.wake_ms = self.now_ms + delay_ms
        for name, current, bound in self.machine.limits():
            assert current <= bound, (name, current, bound)

    def start(self, *peers: bytes) -> None:
        tip = self.chain.headers[self.at].hash if self.at else self.chain.genesis_hash
        for peer in peers[1:]:
            self.perform(self.machine.on_peer_height(peer, self.chain.length, self.now_ms))
        self.perform(self.machine.on_target(self.chain.target, peers[0], self.at, tip, self.now_ms))

    def execute_one(self, header_hash: Digest | None = None) -> None:
        item = self.executing.pop(0).item
        height = item.header.height
        assert height == self.at + 1
        assert len(item.batches) == 2
        self.at = height
        self.executed.append(height)
        if item.header.next_validators_hash is not None:
            self.known_epochs += 1
        self.perform(self.machine.on_executed(height, header_hash or item.header.hash, self.now_ms))

    def answer_one(self, peers: dict[bytes, Answerer], position: int = 0) -> None:
        peer, request = self.requests.pop(position)
        response = peers[peer](request)
        if response is not None:
            self.perform(self.machine.on_response(peer, response, self.now_ms))

    def tick(self) -> None:
        if self.wake_ms is not None:
            self.now_ms, self.wake_ms = max(self.now_ms, self.wake_ms), None
            self.perform(self.machine.on_tick(self.now_ms))

    def run(self, peers: dict[bytes, Answerer], *, random: Random | None = None, steps: int = 2000) -> None:
        """Until finished, diverged, or nothing can happen any more."""
        self.start(*peers)
        self.finish(peers, random=random, steps=steps)

    def finish(
        self, peers: dict[bytes, Answerer], *, random: Random | None = None, steps: int = 2000
    ) -> None:
        """What `run` does after the start."""
        for _ in range(steps):
            if self.finished or self.diverged:
                return
            if self.executing and (random is None or random.randrange(2)):
                self.execute_one()
            elif self.requests:
                self.answer_one(peers, random.randrange(len(self.requests)) if random else 0)
            elif not self.executing:
                self.tick()
        raise AssertionError("it never ended")


def honest(chain: Chain) -> Answerer:
    return lambda request: serve(chain, request)


def silent(_: SyncRequest) -> None:
    return None


def empty(request: SyncRequest) -> SyncResponse:
    return SyncResponse(request.from_height, (), (), None)


def test_everything_is_executed_in_order_and_the_target_reached() -> None:
    s = Syncing(CHAIN)
    s.run({PEERS[0]: honest(CHAIN)})
    assert s.executed == list(range(1, 31))
    assert s.finished[0].certificate == CHAIN.target
    assert s.finished[0].item.header == CHAIN.headers[30]
    assert [p.at_height for p in s.progress] == s.executed
    assert s.penalised == []
    assert not s.machine.running


def test_several_peers_are_asked_in_parallel_for_different_ranges() -> None:
    s = Syncing(CHAIN)
    s.start(*PEERS)
    assert [request.from_height for _, request in s.requests] == [1, 5, 9]
    assert len({peer for peer, _ in s.requests}) == 3


def test_it_resumes_from_any_height() -> None:
    s = Syncing(CHAIN, at=17)
    s.run({PEERS[0]: honest(CHAIN)})
    assert s.executed == list(range(18, 31))


def test_a_target_at_or_below_the_tip_starts_nothing() -> None:
    s = Syncing(CHAIN, at=30)
    s.start(PEERS[0])
    assert (s.requests, s.machine.running, s.machine.progress()) == ([], False, None)


def test_a_later_target_moves_the_end() -> None:
    s = Syncing(CHAIN)
    first = CHAIN.certificates[6]
    s.perform(s.machine.on_target(first, PEERS[0], 0, CHAIN.genesis_hash, s.now_ms))
    s.run({PEERS[0]: honest(CHAIN)})
    assert s.executed == list(range(1, 31))
    assert s.finished[0].certificate == CHAIN.target


def test_what_agreement_walks_to_by_itself_does_not_move_the_end_and_what_lies_further_does() -> None:
    walked = replace(SETTINGS, pool=replace(CONFIG, committed_heights_max=8))
    for later, end in ((14, 6), (15, 15)):
        s = Syncing(CHAIN, walked)
        for height in (6, later):
            told = CHAIN.certificates[height], PEERS[0], 0, CHAIN.genesis_hash, s.now_ms
            s.perform(s.machine.on_target(*told, walks=True))
        assert s.machine.target_height == end
        s.finish({PEERS[0]: honest(CHAIN)})
        assert s.executed == list(range(1, end + 1))
        assert s.finished[0].certificate == CHAIN.certificates[end]


def test_sparse_certificates_are_enough() -> None:
    chain = Chain(30, certified=(1, 2, 11, 30))
    s = Syncing(chain)
    s.run({PEERS[0]: honest(chain)})
    assert s.executed == list(range(1, 31))


def test_epochs_are_learned_by_executing() -> None:
    chain = Chain(30, epoch_ends=(3, 7, 20))
    s = Syncing(chain)
    s.run({peer: honest(chain) for peer in PEERS})
    assert s.executed == list(range(1, 31))
    assert s.penalised == []


def test_a_slow_peer_is_left_for_another_and_its_late_answer_is_no_fault() -> None:
    s = Syncing(CHAIN)
    s.start(PEERS[0])
    late = list(s.requests)
    s.requests.clear()
    s.perform(s.machine.on_peer_height(PEERS[1], 30, s.now_ms))
    s.tick()
    assert {peer for peer, _ in s.requests} == {PEERS[1]}
    for peer, request in late:
        s.perform(s.machine.on_response(peer, serve(CHAIN, request), s.now_ms))
    assert s.penalised == []
    s.finish({PEERS[1]: honest(CHAIN), PEERS[0]: silent})
    assert s.executed == list(range(1, 31))


def test_a_late_answer_of_a_link_that_has_another_identity_since_an_epoch_began_is_no_fault() -> None:
    s = Syncing(CHAIN)
    s.start(PEERS[0])
    late = list(s.requests)
    s.requests.clear()
    s.perform(s.machine.on_peer_height(PEERS[1], 30, s.now_ms))
    s.tick()
    s.machine.enter(s.machine.trust, {PEERS[0]: PEERS[2], PEERS[1]: PEERS[0]})
    for _, request in late:
        s.perform(s.machine.on_response(PEERS[2], serve(CHAIN, request), s.now_ms))
    asked = list(s.requests)
    s.requests.clear()
    for _, request in asked:
        s.perform(s.machine.on_response(PEERS[0], serve(CHAIN, request), s.now_ms))
    assert s.penalised == []
    assert s.machine.heights() == {PEERS[2]: 30, PEERS[0]: 30}
    s.finish({PEERS[0]: honest(CHAIN), PEERS[2]: honest(CHAIN)})
    assert s.executed == list(range(1, 31))


def test_a_slow_peer_is_asked_for_less_and_given_longer() -> None:
    s = Syncing(CHAIN, replace(SETTINGS, ranges_max=1))
    s.start(PEERS[0])
    for _ in range(12):
        s.tick()
    sizes = [request.bytes_max for _, request in s.requests]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < sizes[0]


def test_each_time_that_a_peer_was_slow_it_is_given_longer_and_no_other_peer_is() -> None:
    s = Syncing(CHAIN, replace(SETTINGS, ranges_max=1, sources=SourceLimits(pause_base_ms=0)))
    s.start(PEERS[0], PEERS[1])
    waited: dict[bytes, list[int]] = {peer: [] for peer in PEERS}
    for asked in range(11):
        if asked == 9:
            s.perform(s.machine.on_peer_height(PEERS[2], 30, s.now_ms))
        peer, since_ms = s.requests[-1][0], s.now_ms
        s.tick()
        waited[peer].append(s.now_ms - since_ms)
    grown = [5_000, 10_000, 20_000, 40_000, 40_000]
    assert waited == {PEERS[0]: grown, PEERS[1]: grown, PEERS[2]: [5_000]}


def test_a_slow_peer_keeps_the_time_it_needs_until_it_is_quick() -> None:
    sources, peer = Sources(SourceLimits()), PEERS[0]
    sources.claim(peer, 30)
    sources.failed(peer, 0, slow=True)
    sources.failed(peer, 0)  # it had nothing: that is no slowness
    sources.failed(peer, 0, lied=True)
    assert sources.patience_ms(peer) == 10_000
    for took_ms in (None, 8_000, 5_001):
        sources.succeeded(peer, took_ms)
        assert sources.patience_ms(peer) == 10_000
    sources.succeeded(peer, 5_000)
    assert sources.patience_ms(peer) == 5_000
    sources.succeeded(peer, 1)
    assert sources.patience_ms(peer) == 5_000


@pytest.mark.parametrize("bad", [silent, empty])
def test_useless_peers_only_cost_time(bad: Answerer) -> None:
    s = Syncing(CHAIN)
    s.run({PEERS[0]: bad, PEERS[1]: honest(CHAIN), PEERS[2]: bad})
    assert s.executed == list(range(1, 31))


def pruned(chain: Chain, below: int) -> Answerer:
    """A node that has forgotten its blocks below a height (`isthmus db prune`)."""
    return lambda request: empty(request) if request.from_height < below else serve(chain, request)


def test_pruned_peers_are_passed_over_without_blame() -> None:
    s = Syncing(CHAIN)
    asked: dict[bytes, list[int]] = {peer: [] for peer in PEERS}

    def noted(peer: bytes, answer: Answerer) -> Answerer:
        def note(request: SyncRequest) -> SyncResponse | None:
            response = answer(request)
            if response is not None and response.items:
                asked[peer].append(request.from_height)
            return response

        return note

    below: dict[bytes, int] = {PEERS[0]: 20, PEERS[2]: 12}
    answers = {peer: pruned(CHAIN, below.get(peer, 0)) for peer in PEERS}
    s.run({peer: noted(peer, answer) for peer, answer in answers.items()})
    assert s.executed == list(range(1, 31))
    assert s.penalised == []
    assert all(min(heights, default=99) >= below.get(peer, 0) for peer, heights in asked.items())


def test_a_peer_that_leaves_is_replaced() -> None:
    s = Syncing(CHAIN)
    s.start(*PEERS)
    s.requests.clear()
    for peer in PEERS[:2]:
        s.perform(s.machine.on_peer_gone(peer, s.now_ms))
    s.tick()
    s.perform(s.machine.on_peer_gone(PEERS[2], s.now_ms))
    s.requests.clear()
    s.perform(s.machine.on_peer_height(PEERS[0], 30, s.now_ms))
    assert [request.from_height for _, request in s.requests] == [1, 5]


def test_without_any_peer_it_waits_for_one() -> None:
    s = Syncing(CHAIN)
    s.perform(s.machine.on_target(CHAIN.target, None, 0, CHAIN.genesis_hash, s.now_ms))
    assert s.requests == []
    s.perform(s.machine.on_peer_height(PEERS[0], 30, s.now_ms))
    assert s.requests


# --- lies ----------------------------------------------------------------------------------------------

OTHER = Chain(30, salt=1)
FORGED = certificate_of(OTHER.headers[4], OTHER.validators, (0, 1))


def lie(change: Callable[[SyncResponse], SyncResponse]) -> Answerer:
    def answer(request: SyncRequest) -> SyncResponse:
        return change(serve(CHAIN, request))

    return answer


def first_item(response: SyncResponse, **changes: object) -> SyncResponse:
    item = replace(response.items[0], **changes)  # type: ignore[arg-type]  # fields by name
    return replace(response, items=(item, *response.items[1:]))


def wrong_author_signature(response: SyncResponse) -> SyncResponse:
    block, _ = as_tuple(decode(response.items[0].proposal), 2, "proposal")
    return first_item(response, proposal=encode((block, bytes(64))))


def another_block_with_the_same_payload(response: SyncResponse) -> SyncResponse:
    block = Proposal.from_value(decode(response.items[0].proposal)).block
    other = Block.make(
        cluster_id=block.cluster_id,
        epoch=block.epoch,
        round=block.round,
        qc=block.qc,
        tc=None,
        certified=None,
        payload=block.payload,
        author=block.author,
        time_ms=block.time_ms + 1,
        standing=block.standing,
    )
    return first_item(response, proposal=encode(proposal_of(other).to_value()))


def another_header_in_the_middle(response: SyncResponse) -> SyncResponse:
    middle = OTHER.items[response.from_height]
    return replace(response, items=(middle, *response.items[1:]))


def weak_certificate(response: SyncResponse) -> SyncResponse:
    assert response.certificate is not None
    header = CHAIN.headers[response.certificate.height]
    return replace(response, certificate=certificate_of(header, CHAIN.validators, (0, 1)))


def junk_signature(response: SyncResponse) -> SyncResponse:
    assert response.certificate is not None
    signatures = bytes(64) + response.certificate.signatures[64:]
    return replace(response, certificate=replace(response.certificate, signatures=signatures))


LIES: dict[str, Callable[[SyncResponse], SyncResponse]] = {
    "no-certificate": lambda r: replace(r, certificate=None),
    "weak-certificate": weak_certificate,
    "junk-signature": junk_signature,
    "certificate-of-another-height": lambda r: replace(r, certificate=CHAIN.certificates[30]),
    "another-chain-uncertified": lambda r: replace(
        serve(OTHER, SyncRequest(r.from_height, len(r.items), 2**20)), certificate=r.certificate
    ),
    "a-gap": lambda r: replace(r, items=r.items[:1] + r.items[2:]),
    "reordered": lambda r: replace(r, items=(r.items[1], r.items[0], *r.items[2:])),
    "too-many": lambda r: replace(
        serve(CHAIN, SyncRequest(r.from_height, 9, 2**20)), from_height=r.from_height
    ),
    "junk-header": lambda r: first_item(r, header=b"junk"),
    "junk-proposal": lambda r: first_item(r, proposal=b"junk"),
    "another-block": lambda r: first_item(r, proposal=r.items[1].proposal),
    "another-block-same-payload": another_block_with_the_same_payload,
    "another-header-in-the-middle": another_header_in_the_middle,
    "wrong-author-signature": wrong_author_signature,
    "no-batches": lambda r: first_item(r, batches=()),
    "another-batch": lambda r: first_item(r, batches=r.items[1].batches),
    "one-batch-more": lambda r: first_item(r, batches=r.items[0].batches * 2),
    "junk-link": lambda r: replace(r, links=(b"junk",)),
    "unlinked": lambda r: replace(r, links=(CHAIN.headers[30].encoded,), certificate=CHAIN.certificates[30]),
}


@pytest.mark.parametrize("name", LIES)
def test_every_lie_is_found_scored_and_costs_only_time(name: str) -> None:
    s = Syncing(CHAIN)
    s.run({PEERS[0]: lie(LIES[name]), PEERS[1]: honest(CHAIN)})
    assert s.executed == list(range(1, 31))
    assert {penalty.peer for penalty in s.penalised} == {PEERS[0]}
    assert s.penalised[0].error.code.startswith("sync-")


def test_a_certificate_of_an_epoch_that_never_comes_is_a_lie() -> None:
    chain = Chain(30, epoch_ends=(2,))
    s = Syncing(CHAIN)
    s.start(PEERS[0])
    peer, request = s.requests.pop(0)
    later = chain.headers[3]
    response = replace(serve(chain, SyncRequest(Height(3), 4, 2**20)), from_height=request.from_height)
    assert later.epoch == 1
    s.perform(s.machine.on_response(peer, response, s.now_ms))
    assert [p.peer for p in s.penalised] == [PEERS[0]]


def test_a_range_beyond_the_end_of_an_epoch_is_a_lie() -> None:
    chain = Chain(6, epoch_ends=(3,))
    items = tuple(chain.items[h] for h in range(2, 6))
    believing = Trust(lambda _: Judgement.VALID, lambda _: Judgement.VALID)
    response = SyncResponse(Height(2), items, (), chain.certificates[5])
    with pytest.raises(InvalidMessage) as caught:
        verify_range(response, 64, CONFIG, believing)
    assert caught.value.code == "sync-epoch"


def test_heights_nobody_asked_for_are_their_senders_fault() -> None:
    s = Syncing(CHAIN)
    s.start(PEERS[0])
    response = serve(CHAIN, SyncRequest(Height(25), 4, 2**20))
    s.perform(s.machine.on_response(PEERS[0], response, s.now_ms))
    s.perform(s.machine.on_response(PEERS[1], serve(CHAIN, s.requests[0][1]), s.now_ms))
    assert [p.error.code for p in s.penalised] == ["sync-unsolicited"] * 2


def test_a_liar_is_asked_again_when_nobody_else_is_left() -> None:
    answers = iter([LIES["no-certificate"]] * 3)

    def repaired(request: SyncRequest) -> SyncResponse:
        return next(answers, lambda r: r)(serve(CHAIN, request))

    s = Syncing(CHAIN)
    s.run({PEERS[0]: repaired})
    assert s.executed == list(range(1, 31))


# --- our own divergence (C3) ---------------------------------------------------------------------------


def test_another_header_than_the_certified_one_is_our_divergence_and_nobodys_fault() -> None:
    s = Syncing(CHAIN)
    s.start(PEERS[0])
    s.answer_one({PEERS[0]: honest(CHAIN)})
    ours = Digest(b"x" * 32)
    s.execute_one()
    s.execute_one(ours)
    assert s.diverged == [SyncDiverged(Height(2), ours, CHAIN.headers[2].hash)]
    assert s.penalised == []
    assert s.machine.diverged
    s.requests.clear()
    s.start(PEERS[1])
    assert s.requests == []


def test_two_certificates_of_one_height_stop_catch_up() -> None:
    s = Syncing(CHAIN, at=26)
    other = OTHER.certificates[30]
    s.perform(s.machine.on_target(other, PEERS[0], 26, CHAIN.headers[26].hash, s.now_ms))
    s.answer_one({PEERS[0]: honest(CHAIN)})
    while s.executing:
        s.execute_one()
    assert s.diverged == [SyncDiverged(Height(30), CHAIN.headers[30].hash, other.header_hash)]
    assert s.finished == []


def test_a_tip_that_the_certified_chain_does_not_continue_is_our_divergence() -> None:
    s = Syncing(CHAIN, at=5)
    ours = Digest(b"x" * 32)
    s.perform(s.machine.on_target(CHAIN.target, PEERS[0], 5, ours, s.now_ms))
    s.answer_one({PEERS[0]: honest(CHAIN)})
    assert s.diverged == [SyncDiverged(Height(5), ours, CHAIN.headers[5].hash)]
    assert s.executing == []


# --- any order -----------------------------------------------------------------------------------------


def flaky(chain: Chain, random: Random, lies: list[Callable[[SyncResponse], SyncResponse]]) -> Answerer:
    def answer(request: SyncRequest) -> SyncResponse | None:
        match random.randrange(8):
            case 0:
                return None
            case 1:
                return empty(request)
            case 2:
                honest_answer = serve(chain, request)
                if len(honest_answer.items) < 2:
                    return honest_answer
                return random.choice(lies)(honest_answer)
            case 3:
                return serve(chain, replace(request, count=random.randrange(1, request.count + 1)))
            case _:
                return serve(chain, request)

    return answer


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_with_flaky_peers_in_any_order_every_height_is_executed_once(seed: int) -> None:
    random = Random(seed)
    lies = [LIES[name] for name in LIES if name not in ("another-chain-uncertified", "too-many")]
    s = Syncing(CHAIN, at=random.randrange(29))
    begin = s.at
    s.run({peer: flaky(CHAIN, random, lies) for peer in PEERS}, random=random, steps=20_000)
    assert s.executed == list(range(begin + 1, 31))


def test_memory_is_bounded_when_execution_is_slow_and_batches_are_big() -> None:
    chain = Chain(12, size=60_000)
    config = replace(SETTINGS, response_bytes_max=150_000, buffer_bytes_max=400_000, range_heights=2)
    s = Syncing(chain, config)
    s.start(*PEERS)
    for _ in range(20):
        if s.requests:
            s.answer_one({peer: honest(chain) for peer in PEERS})
    assert s.requests == []
    assert len(s.executing) <= config.execute_ahead
    held = next(current for name, current, _ in s.machine.limits() if name == "sync_buffered_bytes")
    assert 0 < held <= config.buffer_bytes_max + config.response_bytes_max
    s.finish({peer: honest(chain) for peer in PEERS})
    assert s.executed == list(range(1, 13))
