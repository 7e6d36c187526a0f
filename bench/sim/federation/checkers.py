"""What must never happen in a federation: invariants I1-I8, told from what really happened.

The checkers know every branch of every cluster and every leaf ever said, which no cluster does; they never
ask the code that they watch. Names of invariants are stable: `I1` agreement on anchored headers, `I2` an
anchored history is never replaced, `I3` a split view is found in time, `I4` evidence names enough of the
guilty and nobody else is frozen, `I5` exactly once, `I6` conservation, `I7` frozen is inert, `I8`
determinism; `epoch-end` nothing is certified by a set that is over; `liveness` and `idle` (F11) in peace.
"""

from dataclasses import dataclass, field

from bench.sim.clock import Clock
from bench.sim.federation import app
from bench.sim.federation.history import History
from bench.sim.federation.ledger import Ledger
from bench.sim.federation.transactions import (
    Anchored,
    Frozen,
    Handled,
    Happened,
    Recovered,
    Sealed,
    Sent,
    Told,
)
from bench.sim.violation import Violation
from node.anchoring.client.state import ClientState
from node.anchoring.lanes import Acknowledgement, Lane, Message, Mode, Result, decode_leaf
from node.proofs.header import Header


@dataclass(slots=True)
class Branch:
    """What a ledger did, as its watcher saw it."""

    name: str
    ledger: Ledger
    handled: set[bytes] = field(default_factory=set)
    outcomes: dict[bytes, Acknowledgement] = field(default_factory=dict)
    told: dict[bytes, Acknowledgement] = field(default_factory=dict)
    sent: dict[bytes, Message] = field(default_factory=dict)
    taken: dict[Lane, int] = field(default_factory=dict)
    frozen: set[bytes] = field(default_factory=set)
    read: dict[bytes, int] = field(default_factory=dict)

    def copy(self, ledger: Ledger) -> "Branch":
        """The same past for a branch that begins here."""
        return Branch(
            self.name,
            ledger,
            set(self.handled),
            dict(self.outcomes),
            dict(self.told),
            dict(self.sent),
            dict(self.taken),
            set(self.frozen),
            dict(self.read),
        )


class Checkers:
    """Told of everything by every ledger. Raises Violation."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.split_ms: dict[bytes, int] = {}
        """When two peers of a cluster first held two histories of it."""
        self.frozen_ms: dict[bytes, dict[bytes, int]] = {}
        """cluster -> peer -> when it froze it."""
        self._followed: dict[bytes, dict[bytes, tuple[History, int]]] = {}
        self.branches: dict[bytes, list[Branch]] = {}
        """All there ever were of each cluster, the honest ones' single branch first."""
        self.histories: dict[bytes, list[History]] = {}
        self.corrupt: set[bytes] = set()
        """Clusters that ever had a second history."""
        self.counts: dict[str, int] = {}

    def watch(self, name: str, ledger: Ledger, before: Ledger | None = None) -> None:
        """From now on everything that this ledger does is looked at; it went on from `before`."""
        known = self.branches.setdefault(ledger.cluster_id, [])
        past = next((branch for branch in known if branch.ledger is before), None)
        branch = Branch(name, ledger) if past is None else past.copy(ledger)
        known.append(branch)
        self.histories.setdefault(ledger.cluster_id, []).append(ledger.history)
        ledger.watcher = lambda happened: self._saw(branch, happened)

    def _saw(self, branch: Branch, happened: Happened) -> None:
        kind = type(happened).__name__.lower()
        self.counts[kind] = self.counts.get(kind, 0) + 1
        match happened:
            case Sealed():
                self._sealed(branch, happened.header)
            case Anchored():
                self._anchored(branch, happened.before, happened.after)
            case Frozen():
                self._frozen(branch, happened.client)
            case Recovered():
                branch.frozen.discard(happened.client.cluster_id)
            case Handled():
                self._handled(branch, happened.message)
            case Told():
                self._told(branch, happened.acknowledgement)
            case Sent():
                branch.sent[happened.message.hash] = happened.message

    def _name(self, cluster_id: bytes) -> str:
        known = self.branches.get(cluster_id)
        return cluster_id.hex()[:8] if known is None else known[0].name

    # --- headers and anchors -----------------------------------------------------------------------

    def _sealed(self, branch: Branch, header: Header) -> None:
        history = branch.ledger.history
        for epoch, end in enumerate(history.ends, history.first_epoch):
            if header.epoch == epoch and header.height > end:
                raise Violation(
                    "epoch-end", f"{branch.name} certified {header.height} in epoch {epoch}, over at {end}"
                )
        for destination, leaves in branch.ledger.outbox.leaves.items():
            for leaf in leaves[branch.read.get(destination, 0) :]:
                self._said(branch, leaf)
            branch.read[destination] = len(leaves)
        if app.has_leaked(branch.ledger):
            raise Violation("I5", f"the writes of a failed handler stand at {branch.name}")
        if branch.ledger.cluster_id not in self.corrupt:
            self._check_conserved(branch)

    def history_with(self, subject: bytes, height: int, header_hash: bytes) -> History | None:
        """The first branch of a cluster that has this header."""
        for history in self.histories[subject]:
            if height <= history.height and history.headers[height].hash == header_hash:
                return history
        return None

    def _anchored(self, branch: Branch, before: ClientState, after: ClientState) -> None:
        subject, old, new = after.cluster_id, before.last, after.last
        where = f"{branch.name} anchored {self._name(subject)} {new.height}"
        if subject in branch.frozen:
            raise Violation("I7", f"{where}, which it had frozen")
        history = self.history_with(subject, new.height, new.header_hash)
        if history is None:
            raise Violation("I1", f"{where}, a header that no branch of it has")
        held = self.history_with(subject, old.height, old.header_hash)
        if history.headers[old.height].hash != old.header_hash or held is None:
            raise Violation("I2", f"{where}, whose branch lacks the anchored header {old.height}")
        if history.leaves[: old.height] != held.leaves[: old.height]:
            raise Violation("I2", f"{where}, whose list is other than the anchored one below {old.height}")
        if subject in self.corrupt:
            self._note_split(branch, subject, history, new.height)

    def _note_split(self, branch: Branch, subject: bytes, history: History, height: int) -> None:
        followed = self._followed.setdefault(subject, {})
        followed[branch.ledger.cluster_id] = (history, height)
        for other, their_height in followed.values():
            low = min(height, their_height)
            parts = other.headers[low].hash != history.headers[low].hash
            if parts and other.incarnation == history.incarnation:
                self.split_ms.setdefault(subject, self._clock.now_us // 1000)

    def _frozen(self, branch: Branch, client: ClientState) -> None:
        name = self._name(client.cluster_id)
        if client.cluster_id not in self.corrupt:
            raise Violation("I4", f"{branch.name} froze {name}, which is honest")
        weight = len(client.accused)
        if 3 * weight <= len(client.validators.validators):
            raise Violation("I4", f"the evidence against {name} names only {weight} keys")
        branch.frozen.add(client.cluster_id)
        when = self.frozen_ms.setdefault(client.cluster_id, {})
        when[branch.ledger.cluster_id] = self._clock.now_us // 1000

    # --- messages ----------------------------------------------------------------------------------

    def _handled(self, branch: Branch, message: Message) -> None:
        source = message.lane.source
        where = f"{branch.name} handled message {message.sequence} of {self._name(source)}"
        if message.hash in branch.handled:
            raise Violation("I5", f"{where} twice")
        branch.handled.add(message.hash)
        if source in branch.frozen:
            raise Violation("I7", f"{where}, which is frozen")
        tip = branch.ledger.clients[source].last
        for other in self.branches[source]:
            history = other.ledger.history
            holds = tip.height <= history.height and history.headers[tip.height].hash == tip.header_hash
            if holds and message.encoded in other.ledger.outbox.leaves[branch.ledger.cluster_id]:
                return
        raise Violation("I2", f"{where}, which is not of the branch that it anchored")

    def _said(self, branch: Branch, leaf: bytes) -> None:
        decoded = decode_leaf(leaf)
        if not isinstance(decoded, Acknowledgement):
            return
        where = f"{branch.name}, message {decoded.sequence} of {self._name(decoded.lane.source)}"
        if decoded.message_hash in branch.outcomes:
            raise Violation("I5", f"{where} has two outcomes")
        branch.outcomes[decoded.message_hash] = decoded
        ran = decoded.message_hash in branch.handled
        if decoded.result is Result.EXPIRED and ran:
            raise Violation("I5", f"{where} expired, and was handled")
        if decoded.result is Result.OK and not ran:
            raise Violation("I5", f"{where} is OK, and was not handled")
        if decoded.lane.mode is Mode.ORDERED and decoded.lane.source not in self.corrupt:
            expected = branch.taken.get(decoded.lane, 0) + 1
            if decoded.sequence != expected:
                raise Violation("I5", f"{where} was taken out of order, next was {expected}")
            branch.taken[decoded.lane] = expected

    def _told(self, branch: Branch, heard: Acknowledgement) -> None:
        destination = heard.lane.destination
        where = f"{branch.name} was told {heard.result.name} of {heard.sequence} to {self._name(destination)}"
        if heard.message_hash in branch.told:
            raise Violation("I5", f"{where} again")
        branch.told[heard.message_hash] = heard
        if heard.message_hash not in branch.sent:
            raise Violation("I5", f"{where}, which it never sent")
        if destination in branch.frozen:
            raise Violation("I7", f"{where}, which is frozen")
        if destination not in self.corrupt:
            said = self.branches[destination][0].outcomes.get(heard.message_hash)
            if said is None or said.result is not heard.result:
                words = "nothing" if said is None else said.result.name
                raise Violation("I5", f"{where}, which said {words}")

    def _check_conserved(self, branch: Branch) -> None:
        own = branch.ledger.cluster_id
        for source, known in self.branches.items():
            if source == own or source in self.corrupt:
                continue
            for mode in Mode:
                lane = Lane(source, own, app.PORT, mode)
                escrow = app.amount(known[0].ledger, app.escrow_key(lane))
                minted = app.amount(branch.ledger, app.minted_key(lane))
                if escrow < minted:
                    raise Violation(
                        "I6", f"{branch.name} minted {minted} of {known[0].name}, which holds {escrow}"
                    )

    # --- in peace ----------------------------------------------------------------------------------

    def open_messages(self, living: dict[bytes, Ledger]) -> list[Message]:
        """What was sent on a branch that lives and not yet answered."""
        waiting: list[Message] = []
        for known in self.branches.values():
            for branch in known:
                if living.get(branch.ledger.cluster_id) is branch.ledger:
                    waiting += [m for key, m in branch.sent.items() if key not in branch.told]
        return waiting

    def check_replay(self, nodes: int) -> None:
        """I8: whoever executes the same blocks again comes to the same headers."""
        identities = {subject: known[0].identity for subject, known in self.histories.items()}
        for subject, known in self.branches.items():
            if subject in self.corrupt:
                continue
            ledger = known[0].ledger
            others = [identities[peer] for peer in ledger.clients]
            again = ledger.replayed(History(ledger.history.name, nodes), others)
            if again.history.leaves != ledger.history.leaves:
                raise Violation("I8", f"{known[0].name} executed again comes to another history")
