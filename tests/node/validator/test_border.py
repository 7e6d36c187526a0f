"""The border between epochs: what is kept, who is answered, and how often."""

from bench.sim.setting import make_setting
from bench.sim.world import World
from consensus import (
    Certificates,
    CertificatesRequest,
    Epoch,
    HeaderSignature,
    Height,
    Message,
    ReplicaView,
    Round,
    Signature,
    Status,
    ValidatorIndex,
)
from node import wire
from node.ledger.governance.changes import Reweigh
from node.validator.border import EARLY_BYTES_MAX, EARLY_FRAMES_MAX, Border
from node.validator.epochs import EpochLink, Epochs
from node.validator.inputs import Frame
from tests.node.validator.test_epochs import Changing

PEER, OTHER = b"p" * 32, b"q" * 32


def status(epoch: int) -> Status:
    return Status(Epoch(epoch), Round(1), Round(0), Round(0), Height(0), Height(0))


def frame_of(message: Message, peer: bytes = PEER, padding: int = 0) -> Frame:
    topic, body = wire.frame_of_agreement(message)
    return Frame(peer, topic, body + bytes(padding))


def view() -> ReplicaView:
    world = World(make_setting(4)).start()
    return world.hosts[0].validator.replica.view()


class KnownLinks(Epochs):
    """Links by epoch, as if they were stored."""

    def __init__(self, links: dict[int, EpochLink]) -> None:
        self._known = links

    def link(self, epoch: int) -> EpochLink | None:
        return self._known.get(epoch)

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        return ()


def test_a_peer_ahead_gets_our_status_once_a_tick_and_its_words_are_kept() -> None:
    border = Border(KnownLinks({}))
    ahead = status(1)
    answer = border.answer(frame_of(ahead), ahead, Epoch(0), view)
    assert isinstance(answer, Status)
    assert answer.epoch == 0
    assert border.answer(frame_of(ahead), ahead, Epoch(0), view) is None
    border.on_tick()
    assert border.answer(frame_of(ahead), ahead, Epoch(0), view) is not None
    assert len(border.cross([PEER])) == 3
    assert border.cross([]) == []


def test_words_of_an_epoch_after_the_next_are_not_kept() -> None:
    border = Border(KnownLinks({}))
    far = status(2)
    assert border.answer(frame_of(far), far, Epoch(0), view) is not None
    assert border.cross([]) == []


def test_what_is_kept_early_is_bounded_in_frames_and_bytes() -> None:
    border, ahead = Border(KnownLinks({})), status(1)
    for _ in range(3 * EARLY_FRAMES_MAX):
        border.answer(frame_of(ahead), ahead, Epoch(0), view)
    for _ in range(3):
        border.answer(frame_of(ahead, OTHER, EARLY_BYTES_MAX // 2), ahead, Epoch(0), view)
    assert all(current <= bound for _, current, bound in border.limits())
    assert len([frame for frame in border.cross([]) if frame.peer == PEER]) == EARLY_FRAMES_MAX
    assert {name: current for name, current, _ in border.limits()}["border_early_bytes"] == 0


def test_a_peer_behind_gets_the_link_of_its_own_epoch_once_a_tick() -> None:
    changing = Changing(seed=11)
    changing.operators.decide(Reweigh("v0", 2))
    changing.operators.decide(Reweigh("v0", 3))
    changing.settle(2)
    epochs = Epochs(changing.world.genesis, changing.world.hosts[0].disk.store.reader())
    border = Border(epochs)
    behind = HeaderSignature(
        0,
        Epoch(0),
        Height(1),
        epochs.root(Epoch(0)).certificate.block_id,
        epochs.root(Epoch(0)).certificate.block_id,
        ValidatorIndex(0),
        Signature(bytes(64)),
    )
    answer = border.answer(frame_of(behind), behind, Epoch(2), view)
    assert isinstance(answer, Certificates)
    assert answer.certified is not None
    assert answer.certified.epoch == 0
    assert border.answer(frame_of(behind), behind, Epoch(2), view) is None
    assert not border.has_come_over(PEER, CertificatesRequest(Round(1)))
    assert border.has_come_over(PEER, status(2))
    assert not border.has_come_over(PEER, status(2))


def test_who_said_nothing_of_the_new_epoch_counts_as_behind_until_its_status() -> None:
    border, ahead = Border(KnownLinks({})), status(1)
    border.answer(frame_of(ahead), ahead, Epoch(0), view)
    border.cross([PEER, OTHER])
    assert not border.has_come_over(PEER, status(1))
    assert border.has_come_over(OTHER, status(1))


def test_a_link_that_ended_leaves_nothing_behind() -> None:
    border, ahead = Border(KnownLinks({})), status(1)
    border.answer(frame_of(ahead), ahead, Epoch(0), view)
    border.on_link_down(PEER)
    assert border.cross([]) == []


def test_who_pretends_to_come_over_again_and_again_is_pushed_everything_once() -> None:
    border, behind, ours = Border(KnownLinks({})), status(0), status(1)
    border.cross([PEER])
    assert border.has_come_over(PEER, ours)
    for _ in range(3):
        border.answer(frame_of(behind), behind, Epoch(1), view)
        assert not border.has_come_over(PEER, ours)
    border.on_link_down(PEER)  # it restarts, perhaps with older data
    border.answer(frame_of(behind), behind, Epoch(1), view)
    assert border.has_come_over(PEER, ours)


class CountedLinks(KnownLinks):
    """Counts how often storage is asked."""

    asked = 0

    def link(self, epoch: int) -> EpochLink | None:
        self.asked += 1
        return super().link(epoch)


def test_words_of_old_epochs_cost_one_read_a_tick_whatever_their_number() -> None:
    links = CountedLinks({})
    border = Border(links)
    for epoch in range(50):
        old = status(epoch)
        border.answer(frame_of(old), old, Epoch(60), view)
    assert links.asked == 1


def test_one_peer_cannot_crowd_out_what_others_said_early() -> None:
    border, ahead = Border(KnownLinks({})), status(1)
    size = EARLY_BYTES_MAX // EARLY_FRAMES_MAX - len(frame_of(ahead).body)
    for _ in range(EARLY_FRAMES_MAX):
        border.answer(frame_of(ahead, OTHER, size), ahead, Epoch(0), view)
    for _ in range(3):
        border.answer(frame_of(ahead), ahead, Epoch(0), view)
    assert len([frame for frame in border.cross([]) if frame.peer == PEER]) == 3
