"""Following the chain without a vote: who sends this node new heights, and whom it sends them (C18, C25).

Whoever follows asks one peer to feed it: heights come once, as they are certified. Other peers are asked now
and then whether they know more, and asked for what its feeder withholds. So bodies travel along a tree whose
roots are validators, a few children each, and news along all links: the eager and lazy push of Plumtree
(Leitao, Pereira, Rodrigues 2007). A node with children takes a new feeder only nearer to a validator than it
was itself (the feasibility of DUAL, Garcia-Luna-Aceves 1993), so the tree never closes to a ring; where it
finds none it lets its children go first.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from consensus import Epoch, HeaderCertificate, Height
from node.pool.alarm import Alarm
from node.pool.effects import Send, Wake
from node.pool.messages import DISTANCE_MAX, Fed, Follow


@dataclass(frozen=True, slots=True)
class FollowLimits:
    """How many are fed, and patience in milliseconds."""

    fed_by_validator_max: int = 2
    """A validator's loop is for agreement: whoever else follows is fed by those it feeds."""
    fed_by_follower_max: int = 8
    links_max: int = 512
    ask_timeout_ms: int = 1_000
    ask_again_ms: int = 250
    """After the first refusal; twice as long after each further one, up to `ask_again_max_ms`."""
    ask_again_max_ms: int = 4_000
    probe_ms: int = 2_000
    grace_ms: int = 750
    """How long after another peer the feeder may bring a height: several times what storing it takes."""
    lie_pause_ms: int = 60_000
    answer_pause_ms: int = 100
    """A peer that asks more often than this is not answered."""


@dataclass(frozen=True, slots=True)
class Pull:
    """Fetch everything up to this certificate, verified already; `peer` has it."""

    certificate: HeaderCertificate
    peer: bytes


@dataclass(frozen=True, slots=True)
class Tell:
    """Send `peer` the newest certificate stored here that its epoch can judge, if it is above `height`."""

    peer: bytes
    epoch: Epoch
    height: Height


FollowEffect = Send | Wake | Pull | Tell


@dataclass(slots=True)
class _Link:
    is_validator: bool
    free_at_ms: int = 0
    """When it may be asked to feed us again."""
    refusals: int = 0
    answered_at_ms: int | None = None
    probed_at_ms: int = -1
    was_asked: bool = False
    """To feed us: what it sends unasked is no fault of its own."""


@dataclass(slots=True)
class _Missing:
    """A certified height that another peer has told of and our feeder has not brought yet."""

    certificate: HeaderCertificate
    peer: bytes
    since_ms: int


class Following:
    """One node's place in the tree. Peers are links' inner identities; a validator never has a feeder."""

    def __init__(self, limits: FollowLimits, *, follows: bool, epoch: Epoch, height: Height) -> None:
        self._limits = limits
        self._follows = follows
        self._epoch = epoch
        self._height = height
        self.alarm = Alarm()
        self._links: dict[bytes, _Link] = {}
        self._fed: dict[bytes, None] = {}
        self._feeder: bytes | None = None
        self._distance: int | None = None if follows else 0
        self._asked: tuple[bytes, int] | None = None
        self._ask_at_ms = 0
        self._probe_at_ms = 0
        self._missing: _Missing | None = None
        self.switches = 0
        """Feeders given up since the start, for metrics."""

    # --- looking in ------------------------------------------------------------------------------------

    @property
    def fed(self) -> tuple[bytes, ...]:
        """Who is sent new heights."""
        return tuple(self._fed)

    @property
    def feeder(self) -> bytes | None:
        """Who sends us new heights."""
        return self._feeder

    @property
    def distance(self) -> int | None:
        """Steps to a validator along the tree; 0 for a validator, None without a feeder."""
        return self._distance if self._feeder is not None or not self._follows else None

    @property
    def has_links(self) -> bool:
        """Whether any link is open."""
        return bool(self._links)

    def is_expected(self, peer: bytes) -> bool:
        """Whether heights that `peer` sends unasked are no fault: it was asked to, some time."""
        link = self._links.get(peer)
        return link is not None and link.was_asked

    @property
    def fed_max(self) -> int:
        """How many this node feeds at most."""
        limits = self._limits
        return limits.fed_by_follower_max if self._follows else limits.fed_by_validator_max

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """`(name, current, bound)` for metrics."""
        return (
            ("follow_links", len(self._links), self._limits.links_max),
            ("followers_fed", len(self._fed), self._limits.fed_by_follower_max),
        )

    # --- events ----------------------------------------------------------------------------------------

    def enter(
        self, *, follows: bool, epoch: Epoch, renamed: Mapping[bytes, bytes], validators: Mapping[bytes, bool]
    ) -> list[FollowEffect]:
        """An epoch begins: links may have other identities, and this node or its peers another part in it;
        `validators` says of each open link whether it is one."""
        self._links = {renamed.get(peer, peer): link for peer, link in self._links.items()}
        for peer, link in self._links.items():
            link.is_validator = validators.get(peer, False)
            link.answered_at_ms, link.free_at_ms, link.refusals = None, 0, 0
        self._fed = {renamed.get(peer, peer): None for peer in self._fed}
        feeder = None if self._feeder is None else renamed.get(self._feeder, self._feeder)
        self._epoch, self._asked, self._missing = epoch, None, None
        effects: list[FollowEffect] = []
        if follows != self._follows:
            effects += self._let_go()
            if feeder is not None:
                effects.append(Send(feeder, Fed(None)))
            feeder, self._distance = None, None if follows else 0
        self._feeder, self._follows = feeder, follows
        self._probe_at_ms = self._ask_at_ms = 0  # who is epochs behind goes on at once
        return effects + self._go_on()

    def on_link_up(self, peer: bytes, is_validator: bool, now_ms: int) -> list[FollowEffect]:
        """A link opened."""
        self.alarm.advance(now_ms)
        if len(self._links) < self._limits.links_max:
            self._links[peer] = _Link(is_validator)
            self._ask_at_ms = min(self._ask_at_ms, self.alarm.elapsed_ms)
            self._probe_at_ms = min(self._probe_at_ms, self.alarm.elapsed_ms)
        return self._go_on()

    def on_link_down(self, peer: bytes, now_ms: int) -> list[FollowEffect]:
        """A link ended."""
        self.alarm.advance(now_ms)
        self._links.pop(peer, None)
        self._fed.pop(peer, None)
        if self._asked is not None and self._asked[0] == peer:
            self._asked = None
        if peer == self._feeder:
            self._lose_feeder()
        return self._go_on()

    def on_follow(self, peer: bytes, message: Follow, now_ms: int) -> list[FollowEffect]:
        """A peer follows: feed it if there is room, and tell it what it does not know."""
        elapsed = self.alarm.advance(now_ms)
        link = self._links.get(peer)
        if link is None:
            return []
        if link.answered_at_ms is not None and elapsed - link.answered_at_ms < self._limits.answer_pause_ms:
            return []
        link.answered_at_ms = elapsed
        effects: list[FollowEffect] = []
        if message.feed:
            effects.append(Send(peer, Fed(self._take(peer))))
        return [*effects, Tell(peer, message.epoch, message.height)]

    def on_fed(self, peer: bytes, message: Fed, now_ms: int) -> list[FollowEffect]:
        """A peer will feed us, or will not, or not any longer; or it wants no more of us."""
        elapsed = self.alarm.advance(now_ms)
        link = self._links.get(peer)
        if message.distance is None:
            self._fed.pop(peer, None)
        if link is None or not self._follows:
            return []
        asked = self._asked is not None and self._asked[0] == peer
        if asked:
            self._asked = None
        if message.distance is None:
            self._refused(link, elapsed)
            if peer == self._feeder:
                self._lose_feeder()
        elif asked and self._feeder is None and self._is_feasible(message.distance):
            self._feeder, self._distance = peer, message.distance + 1
            self._ask_at_ms = link.refusals = 0
        elif peer != self._feeder:
            self._refused(link, elapsed)
            return [Send(peer, Fed(None)), *self._go_on()]
        return self._go_on()

    def on_told(self, peer: bytes, certificate: HeaderCertificate, now_ms: int) -> list[FollowEffect]:
        """A peer has stored a height, certified and verified: our feeder brings it, or we fetch it."""
        elapsed = self.alarm.advance(now_ms)
        if not self._follows or certificate.height <= self._height:
            return []
        if self._feeder is None or peer == self._feeder:
            return [Pull(certificate, peer)]
        if self._missing is None:
            self._missing = _Missing(certificate, peer, elapsed)
        return self._go_on()

    def on_height(self, height: Height) -> None:
        """Everything through `height` is executed and certified here."""
        self._height = max(self._height, height)
        if self._missing is not None and self._missing.certificate.height <= height:
            self._missing = None

    def on_fault(self, peer: bytes, now_ms: int) -> list[FollowEffect]:
        """What `peer` sent was false: it is not to feed us."""
        elapsed = self.alarm.advance(now_ms)
        link = self._links.get(peer)
        if link is not None:
            link.free_at_ms = elapsed + self._limits.lie_pause_ms
        return self._leave_feeder() if peer == self._feeder else []

    def on_tick(self, now_ms: int) -> list[FollowEffect]:
        """The timer asked for by `Wake` went off."""
        elapsed = self.alarm.advance(now_ms)
        self.alarm.fired()
        effects: list[FollowEffect] = []
        if self._asked is not None and self._asked[1] <= elapsed:
            link = self._links.get(self._asked[0])
            if link is not None:
                self._refused(link, elapsed)
            self._asked = None
        missing = self._missing
        if missing is not None and missing.since_ms + self._limits.grace_ms <= elapsed:
            self._missing = None
            effects.append(Pull(missing.certificate, missing.peer))
            if self._feeder is not None:
                late = self._links.get(self._feeder)
                if late is not None:
                    late.free_at_ms = elapsed + self._limits.ask_again_max_ms
                effects += self._leave_feeder()
        return effects + self._go_on()

    # --- inside ----------------------------------------------------------------------------------------

    def _take(self, peer: bytes) -> int | None:
        """Our distance, if we feed `peer` from now on."""
        distance = self.distance
        if distance is None or distance >= DISTANCE_MAX or peer == self._feeder:
            return None
        if peer not in self._fed and len(self._fed) >= self.fed_max:
            return None
        self._fed[peer] = None
        return distance

    def _refused(self, link: _Link, elapsed_ms: int) -> None:
        limits = self._limits
        link.free_at_ms = elapsed_ms + min(
            limits.ask_again_ms << min(link.refusals, 8), limits.ask_again_max_ms
        )
        link.refusals += 1

    def _is_feasible(self, distance: int) -> bool:
        return not self._fed or self._distance is None or distance < self._distance

    def _lose_feeder(self) -> None:
        self._feeder = None
        self._ask_at_ms = 0
        self.switches += 1
        if not self._fed:
            self._distance = None

    def _leave_feeder(self) -> list[FollowEffect]:
        feeder = self._feeder
        if feeder is None:
            return []
        self._lose_feeder()
        return [Send(feeder, Fed(None)), *self._go_on()]

    def _let_go(self) -> list[FollowEffect]:
        """Children find somebody else."""
        fed, self._fed = self._fed, {}
        self._distance = None
        return [Send(peer, Fed(None)) for peer in fed]

    def _go_on(self) -> list[FollowEffect]:
        """What every event ends with: look for a feeder, ask around, set the timer."""
        if not self._follows:
            return []
        elapsed = self.alarm.elapsed_ms
        effects: list[FollowEffect] = []
        if self._feeder is None and self._asked is None and self._ask_at_ms <= elapsed:
            effects += self._ask(elapsed)
        if self._probe_at_ms <= elapsed:
            effects += self._probe(elapsed)
        effects += self.alarm.rearm(self._due_ms())
        return effects

    def _ask(self, elapsed_ms: int) -> list[FollowEffect]:
        """Ask the next peer to feed us: followers first, whose time costs agreement nothing."""
        others = [(peer, link) for peer, link in self._links.items() if peer not in self._fed]
        candidates = [
            (link.is_validator, link.free_at_ms, place, peer)
            for place, (peer, link) in enumerate(others)
            if link.free_at_ms <= elapsed_ms
        ]
        if not candidates:
            later = elapsed_ms + self._limits.ask_again_max_ms
            self._ask_at_ms = min((link.free_at_ms for _, link in others), default=later)
            return self._let_go() if self._fed and self._links else []
        peer = min(candidates)[-1]
        self._links[peer].was_asked = True
        self._asked = (peer, elapsed_ms + self._limits.ask_timeout_ms)
        return [Send(peer, Follow(self._epoch, self._height, True))]

    def _probe(self, elapsed_ms: int) -> list[FollowEffect]:
        """Ask whoever was asked longest ago for news; our feeder only where there is no other."""
        self._probe_at_ms = elapsed_ms + self._limits.probe_ms
        candidates = [
            (peer == self._feeder, link.probed_at_ms, place, peer)
            for place, (peer, link) in enumerate(self._links.items())
            if peer not in self._fed and (self._asked is None or peer != self._asked[0])
        ]
        if not candidates:
            return []
        peer = min(candidates)[-1]
        self._links[peer].probed_at_ms = elapsed_ms
        # Who feeds us is reminded of it.
        return [Send(peer, Follow(self._epoch, self._height, peer == self._feeder))]

    def _due_ms(self) -> int | None:
        if not self._links:
            return None
        dues = [self._probe_at_ms]
        if self._asked is not None:
            dues.append(self._asked[1])
        elif self._feeder is None:
            dues.append(self._ask_at_ms)
        if self._missing is not None:
            dues.append(self._missing.since_ms + self._limits.grace_ms)
        return min(dues)
