"""The border between two epochs: who is on the other side of it, what they need, and what came too early
(C4).

Validators cross one after the other, within a few milliseconds or after days. Who is behind needs one thing
to go on: the header that ended its epoch, with its certificate. What those ahead say is kept for a moment,
so that a healthy crossing costs no round. Neither side is at fault, whatever it says in its own epoch's
terms.
"""

from collections import deque
from collections.abc import Callable, Iterable

from consensus import Blocks, Certificates, Epoch, Message, ReplicaView, Round, Status, epoch_of
from node.validator.epochs import Epochs
from node.validator.inputs import Frame

EARLY_FRAMES_MAX = 32
"""Frames of the next epoch kept of one peer, the newest: some ten rounds of a fast cluster."""
EARLY_PEERS_MAX = 256
EARLY_BYTES_MAX = 8 * 1024 * 1024
"""Of all peers together; beyond it the oldest frames of whoever speaks go first."""
EARLY_PEER_BYTES_MAX = EARLY_BYTES_MAX // 8
"""Of one peer, so that none can crowd out the others."""
PEERS_MAX = 1_024
"""Peers on the other side that are remembered, and answered, between two status ticks."""


class Border:
    """Peers by their links' node keys."""

    def __init__(self, epochs: Epochs) -> None:
        self._epochs = epochs
        self._behind: dict[bytes, None] = {}
        self._arrived: dict[bytes, None] = {}
        self._answered: dict[bytes, None] = {}
        self._early: dict[bytes, deque[Frame]] = {}
        self._early_bytes = 0

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """(name, current, bound)."""
        frames = sum(map(len, self._early.values()))
        return (
            ("border_peers_behind", len(self._behind), PEERS_MAX),
            ("border_peers_arrived", len(self._arrived), PEERS_MAX),
            ("border_peers_answered", len(self._answered), PEERS_MAX),
            ("border_early_frames", frames, EARLY_PEERS_MAX * EARLY_FRAMES_MAX),
            ("border_early_bytes", self._early_bytes, EARLY_BYTES_MAX),
            *self._epochs.limits(),
        )

    def on_tick(self) -> None:
        """A status interval passed: peers are answered again."""
        self._answered.clear()

    def on_link_down(self, peer: bytes) -> None:
        """What it said is of no use without it."""
        self._behind.pop(peer, None)
        self._arrived.pop(peer, None)
        self._drop(peer)

    # --- messages --------------------------------------------------------------------------------------

    def has_come_over(self, peer: bytes, message: Message) -> bool:
        """Whether a peer that was in an earlier epoch says in this message of ours that it has arrived: true
        once a link and epoch, because whoever arrives is told, and pushed, all we have."""
        if peer not in self._behind or not isinstance(message, Status):
            return False
        if len(self._arrived) >= PEERS_MAX:
            return False
        del self._behind[peer]
        self._arrived[peer] = None
        return True

    def answer(
        self, frame: Frame, message: Message, ours: Epoch, view: Callable[[], ReplicaView]
    ) -> Message | None:
        """What to say to a message of another epoch than ours, at most once a peer and status tick."""
        epoch = epoch_of(message)
        if epoch is None:
            return None
        if epoch > ours:
            if epoch == ours + 1:
                self._keep(frame)
            return _status_of(view()) if self._may_answer(frame.peer) else None
        if frame.peer not in self._arrived and len(self._behind) < PEERS_MAX:
            self._behind[frame.peer] = None
        if isinstance(message, Certificates | Blocks) or not self._may_answer(frame.peer):
            return None
        link = self._epochs.link(epoch + 1)
        return None if link is None else Certificates(None, None, link.certificate)

    def _may_answer(self, peer: bytes) -> bool:
        if peer in self._answered or len(self._answered) >= PEERS_MAX:
            return False
        self._answered[peer] = None
        return True

    # --- what came early -------------------------------------------------------------------------------

    def _keep(self, frame: Frame) -> None:
        kept = self._early.get(frame.peer)
        if kept is None:
            if len(self._early) >= EARLY_PEERS_MAX:
                return
            kept = self._early[frame.peer] = deque()
        kept.append(frame)
        self._early_bytes += len(frame.body)
        own_bytes = sum(len(early.body) for early in kept)
        while kept and (
            len(kept) > EARLY_FRAMES_MAX
            or own_bytes > EARLY_PEER_BYTES_MAX
            or self._early_bytes > EARLY_BYTES_MAX
        ):
            size = len(kept.popleft().body)
            own_bytes -= size
            self._early_bytes -= size

    def _drop(self, peer: bytes) -> None:
        self._early_bytes -= sum(len(frame.body) for frame in self._early.pop(peer, ()))

    def cross(self, peers: Iterable[bytes]) -> list[Frame]:
        """We enter the next epoch, linked to `peers`: what they said in it so far. Who said nothing counts as
        being behind, until its status tells otherwise."""
        self._behind = {peer: None for peer in peers if peer not in self._early}
        self._arrived.clear()
        early = [frame for frames in self._early.values() for frame in frames]
        self._early.clear()
        self._early_bytes = 0
        self._answered.clear()
        return early


def _status_of(view: ReplicaView) -> Status:
    return Status(
        view.epoch,
        view.round,
        view.hqc.round,
        Round(0) if view.htc is None else view.htc.round,
        view.committed_height,
        view.certified_height,
    )
