"""Clusters reduced to what lanes touch: state, block time, an outbox, and views of each other.

An `Island` executes lane operations one transaction at a time and publishes its outbox root at each height,
as headers would. A `Federation` moves leaves between islands in any order, as often as it likes, with old
and new proofs, and after every step checks what must hold of all of them together.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from consensus import CodecError, Digest, digest
from node.anchoring.lanes import destination as lane_destination
from node.anchoring.lanes import source as lane_source
from node.anchoring.lanes.destination import Received, Verdict
from node.anchoring.lanes.messages import (
    Acknowledgement,
    Closing,
    Gap,
    Lane,
    Message,
    Mode,
    Result,
    decode_leaf,
)
from node.anchoring.lanes.outbox import LogProof, OutboxProof, append
from node.anchoring.lanes.records import COMMITMENTS_MAX, RECEIPTS_MAX, SETTLED_MAX
from node.anchoring.lanes.recovery import park, resume
from node.anchoring.lanes.refusals import LaneRefused, Refusal
from node.anchoring.lanes.rules import Arrival, HandlerFailed
from node.anchoring.lanes.source import Acknowledged
from node.anchoring.lanes.state import LaneState, WriteSet
from node.anchoring.lanes.views import AnchoredView, OwnBlock
from node.proofs import CompactRange, rfc6962, smt

START_MS = 1_700_000_000_000
PORT = "records"


class MemoryOutbox:
    """An `OutboxReader` that also remembers every leaf, and the map at every published height."""

    def __init__(self) -> None:
        self.map: dict[bytes, bytes] = {}
        self.logs: dict[bytes, CompactRange] = {}
        self.nodes: dict[tuple[bytes, int, int], bytes] = {}
        self.leaves: dict[bytes, list[bytes]] = {}

    def get(self, key: bytes) -> bytes | None:
        return self.map.get(key)

    def log(self, destination: bytes) -> CompactRange:
        return self.logs.get(destination, CompactRange())

    def node(self, destination: bytes, level: int, index: int) -> bytes:
        return self.nodes[destination, level, index]

    def apply(self, said: list[tuple[bytes, bytes]]) -> Digest:
        update = append(self, said)
        for log in update.logs:
            assert log.first == len(self.leaves.setdefault(log.destination, []))
            self.leaves[log.destination] += log.leaves
            self.logs[log.destination] = log.log
            for level, index, node in log.nodes:
                self.nodes[log.destination, level, index] = node
        for key, value in update.map_writes:
            if value is None:
                del self.map[key]
            else:
                self.map[key] = value
        return update.root


@dataclass(frozen=True)
class Published:
    """What one height showed to the others."""

    incarnation: int
    time_ms: int
    outbox_root: Digest
    map: dict[bytes, bytes]
    logs: dict[bytes, CompactRange]


class MapAt:
    """The outbox map as it stood at a height."""

    def __init__(self, nodes: dict[bytes, bytes]) -> None:
        self._nodes = nodes

    def get(self, key: bytes) -> bytes | None:
        return self._nodes.get(key)


class LogOf:
    """One log's nodes."""

    def __init__(self, outbox: MemoryOutbox, destination: bytes) -> None:
        self._outbox, self._destination = outbox, destination

    def node(self, level: int, index: int) -> bytes:
        return self._outbox.node(self._destination, level, index)


class Root:
    """The lowest state: a dictionary, and what the block says."""

    def __init__(self) -> None:
        self.entries: dict[bytes, bytes] = {}
        self.said: list[tuple[bytes, bytes]] = []

    def get(self, key: bytes) -> bytes | None:
        return self.entries.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        assert value
        self.entries[key] = value

    def delete(self, key: bytes) -> None:
        self.entries.pop(key, None)

    def say(self, destination: bytes, leaf: bytes) -> None:
        self.said.append((destination, leaf))


def admit(message: Message) -> Verdict:
    """By the first word of the payload."""
    if message.payload.startswith(b"denied"):
        return Verdict.DENY
    return Verdict.WAIT if message.payload.startswith(b"waits") else Verdict.ADMIT


class Island:
    """One cluster as lanes see it."""

    def __init__(self, name: str) -> None:
        self.cluster_id = digest("test/island", name.encode())
        self.incarnation = 0
        self.height = 0
        self.time_ms = START_MS
        self.root = Root()
        self.outbox = MemoryOutbox()
        self.published: dict[int, Published] = {}
        self.anchored: dict[bytes, tuple[Island, int]] = {}
        self.frozen: set[bytes] = set()
        self.handled: list[Digest] = []
        self.told: list[Acknowledgement] = []
        self.sent: dict[tuple[Lane, int], Message] = {}
        self.seal()

    @property
    def block(self) -> OwnBlock:
        return OwnBlock(self.cluster_id, self.incarnation, self.height + 1, self.time_ms)

    def seal(self) -> None:
        """End the block: everything said is in the outbox, and the next height is published."""
        root = self.outbox.apply(self.root.said)
        self.root.said = []
        self.height += 1
        self.published[self.height] = Published(
            self.incarnation, self.time_ms, root, dict(self.outbox.map), dict(self.outbox.logs)
        )

    def view_of(self, other: "Island") -> AnchoredView:
        """What is anchored here of another island (nothing of it yet: an empty outbox, not active)."""
        if other.cluster_id not in self.anchored:
            return AnchoredView(other.cluster_id, 0, 0, 0, Digest(smt.EMPTY), False)
        branch, height = self.anchored[other.cluster_id]
        shown = branch.published[height]
        is_active = other.cluster_id not in self.frozen
        return AnchoredView(
            other.cluster_id, shown.incarnation, height, shown.time_ms, shown.outbox_root, is_active
        )

    def anchor(self, other: "Island", height: int | None = None) -> None:
        """Anchor a published height of another island, its newest unless said otherwise."""
        if other.cluster_id not in self.frozen:
            self.anchored[other.cluster_id] = (other, other.height if height is None else height)

    def arrival_for(self, to: bytes, index: int, height: int) -> Arrival:
        """Leaf `index` of what is said to another, proven against our root at `height`."""
        shown = self.published[height]
        log = shown.logs[to]
        entry = LogProof(log.size, Digest(log.root()), smt.prove(MapAt(shown.map), to))
        path = rfc6962.inclusion_path_from(LogOf(self.outbox, to), index, log.size)
        return Arrival(self.outbox.leaves[to][index], OutboxProof(entry, index, path))

    def transact(self, action: Callable[[LaneState], Any]) -> Any:
        """One transaction: all or, when it is refused, demonstrably nothing."""
        writes = WriteSet(self.root)
        try:
            outcome = action(writes)
        except LaneRefused:
            assert not writes._writes
            assert not writes._said
            raise
        writes.commit()
        return outcome

    def send(
        self, to: "Island", payload: bytes, mode: Mode = Mode.ORDERED, lasting_ms: int = 5_000
    ) -> Message:
        """Send, as a transaction; `lasting_ms` from our own block time."""
        return self.transact(lambda state: self._send(state, to, payload, mode, lasting_ms))

    def _send(self, state: LaneState, to: "Island", payload: bytes, mode: Mode, lasting_ms: int) -> Message:
        lane = Lane(self.cluster_id, to.cluster_id, PORT, mode)
        message = lane_source.send(
            state,
            self.block,
            self.view_of(to),
            lane,
            payload,
            self.time_ms + lasting_ms,
            lambda lane: lane.port != "forbidden",
        )
        self.sent[message.lane, message.sequence] = message
        return message

    def take(self, source: "Island", arrival: Arrival) -> Received | Acknowledged | Closing | Gap:
        """Execute whatever the leaf is, as a transaction."""
        view = self.view_of(source)
        if isinstance(decode_leaf(arrival.leaf), Closing):
            return self.transact(
                lambda state: lane_source.close(state, self.block, view, arrival, self.callback)
            )
        if isinstance(decode_leaf(arrival.leaf), Gap):
            return self.transact(lambda state: lane_destination.pass_over(state, self.block, view, arrival))
        if isinstance(decode_leaf(arrival.leaf), Message):
            return self.transact(
                lambda state: lane_destination.deliver(
                    state, self.block, view, arrival, admit, self.handler(source, view, arrival)
                )
            )
        return self.transact(
            lambda state: lane_source.acknowledge(state, self.block, view, arrival, self.callback)
        )

    def handler(
        self, source: "Island", view: AnchoredView, arrival: Arrival
    ) -> Callable[[LaneState, Message], bytes]:
        def run(state: LaneState, message: Message) -> bytes:
            self.handled.append(message.hash)
            state.put(b"app/last", message.hash)
            word = message.payload.split(b" ")[0]
            if word == b"fails":
                state.put(b"app/rolled-back", b"1")
                state.say(source.cluster_id, b"never said")
                raise HandlerFailed(b"no")
            if word == b"answers":
                try:
                    self._send(state, source, b"an answer", message.lane.mode, 5_000)
                except LaneRefused as refused:
                    raise HandlerFailed(refused.refusal.label.encode()) from refused
            if word == b"sends":
                self._send(state, source, b"too late", message.lane.mode, 0)
            if word == b"reenters" and self.handled.count(message.hash) < 3:
                try:
                    lane_destination.receive(state, self.block, view, arrival, admit, run)
                except LaneRefused as refused:
                    return refused.refusal.label.encode()
            return b"done"

        return run

    def callback(self, state: LaneState, acknowledgement: Acknowledgement) -> None:
        self.told.append(acknowledgement)
        state.put(b"app/told", acknowledgement.message_hash)
        if acknowledgement.answer == b"no":
            raise HandlerFailed(b"cannot compensate")

    def answers(self) -> Iterator[Acknowledgement]:
        """Every acknowledgement this island ever said, also in the block under way."""
        said = [leaf for leaves in self.outbox.leaves.values() for leaf in leaves]
        for leaf in (*said, *(leaf for _, leaf in self.root.said)):
            try:
                decoded = decode_leaf(leaf)
            except CodecError as error:
                raise Broken(f"what no handler may say stands in an outbox: {error}") from error
            if isinstance(decoded, Acknowledgement):
                yield decoded

    def held(self, marker: bytes) -> dict[bytes, int]:
        """How many records of a kind each lane holds."""
        counts: dict[bytes, int] = {}
        for key in self.root.entries:
            lane, found, _ = key.partition(marker)
            if found:
                counts[lane] = counts.get(lane, 0) + 1
        return counts


class Broken(AssertionError):
    """An invariant does not hold; the message names it."""


class Federation:
    """Some islands, each anchoring the others, and what must be true of them whatever is done."""

    def __init__(self, names: str = "AB") -> None:
        self.islands = [Island(name) for name in names]
        self.history: dict[bytes, Digest] = {}
        self.refused: dict[Refusal, int] = {}
        for island in self.islands:
            for other in self.islands:
                if other is not island:
                    island.anchor(other)

    def try_take(
        self, at: Island, source: Island, index: int, height: int
    ) -> Received | Acknowledged | Closing | Gap | None:
        """Bring leaf `index` with a proof of `height`; None when it was refused, which is counted."""
        try:
            return at.take(source, source.arrival_for(at.cluster_id, index, height))
        except LaneRefused as refused:
            self.refused[refused.refusal] = self.refused.get(refused.refusal, 0) + 1
            return None

    def try_send(self, source: Island, to: Island, payload: bytes, mode: Mode, lasting_ms: int) -> None:
        """Send; a refusal is counted."""
        try:
            source.send(to, payload, mode, lasting_ms)
        except LaneRefused as refused:
            self.refused[refused.refusal] = self.refused.get(refused.refusal, 0) + 1

    def settle(self, rounds: int = 20) -> None:
        """Couriers everywhere, all working, until nothing changes."""
        for _ in range(rounds):
            before = [dict(island.root.entries) for island in self.islands]
            for island in self.islands:
                island.seal()
            for island in self.islands:
                for other in self.islands:
                    if other is island or other.cluster_id in island.frozen:
                        continue
                    island.anchor(other)
                    for index in range(other.outbox.log(island.cluster_id).size):
                        self.try_take(island, other, index, other.height)
            if before == [dict(island.root.entries) for island in self.islands]:
                return
        raise Broken("nothing comes to rest")

    # --- invariants ----------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise Broken unless every invariant holds now."""
        for island in self.islands:
            self._check_once(island)
            self._check_told(island)
            self._check_order(island)
            self._check_bounds(island)
            if b"app/rolled-back" in island.root.entries:
                raise Broken("a failed handler's writes stand")

    def _check_once(self, island: Island) -> None:
        handled = island.handled
        if len(handled) != len(set(handled)):
            raise Broken("I5: a message was handled twice")
        outcomes: set[Digest] = set()
        for answer in island.answers():
            if answer.message_hash in outcomes:
                raise Broken("I5: two outcomes of one message")
            outcomes.add(answer.message_hash)
            if answer.result is Result.EXPIRED and answer.message_hash in handled:
                raise Broken("I5: a handled message expired")
            if answer.result is Result.OK and answer.message_hash not in handled:
                raise Broken("I5: OK without handling")

    def _check_told(self, island: Island) -> None:
        hashes = [told.message_hash for told in island.told]
        if len(hashes) != len(set(hashes)):
            raise Broken("I5: a callback ran twice")
        for told in island.told:
            (destination,) = (i for i in self.islands if i.cluster_id == told.lane.destination)
            said = [a for a in destination.answers() if a.message_hash == told.message_hash]
            if [a.result for a in said] != [told.result]:
                raise Broken(f"I5: told {told.result.name}, the destination says {[a.result for a in said]}")
            message = island.sent[told.lane, told.sequence]
            if message.hash != told.message_hash:
                raise Broken("I5: told of another message")

    def _check_order(self, island: Island) -> None:
        taken: dict[Lane, list[int]] = {}
        for answer in island.answers():
            taken.setdefault(answer.lane, []).append(answer.sequence)
        for lane, sequences in taken.items():
            expected = list(range(1, len(sequences) + 1))
            if lane.mode is Mode.ORDERED and sequences != expected:
                raise Broken(f"an ordered lane took {sequences}")
            if len(set(sequences)) != len(sequences):
                raise Broken(f"I5: a sequence was taken twice: {sequences}")

    def _check_bounds(self, island: Island) -> None:
        for marker, bound in ((b"/c/", COMMITMENTS_MAX), (b"/s/", SETTLED_MAX), (b"/r/", RECEIPTS_MAX)):
            for lane, count in island.held(marker).items():
                if count > bound:
                    raise Broken(f"{count} records {marker!r} of {lane!r} exceed {bound}")


def fork(island: Island) -> Island:
    """A second branch of the same cluster from here on: its own state and outbox, the same identity."""
    anchored = island.anchored
    island.anchored = {}
    branch = copy.deepcopy(island)
    island.anchored, branch.anchored = anchored, dict(anchored)
    return branch


def freeze(at: Island, cluster_id: bytes) -> None:
    """`at` has seen evidence against a cluster."""
    at.frozen.add(cluster_id)
    at.transact(lambda state: park(state, cluster_id, 0))


def recover(at: Island, branch: Island, common_size: int) -> None:
    """`at` accepts the recovered branch (already of its new incarnation, sealed) and goes on with it."""
    common = branch.outbox.leaves.get(at.cluster_id, [])[:common_size]
    root = Digest(rfc6962.root([rfc6962.leaf_hash(leaf) for leaf in common]))
    at.transact(
        lambda state: resume(state, at.cluster_id, branch.cluster_id, branch.incarnation, common_size, root)
    )
    at.frozen.discard(branch.cluster_id)
    at.anchor(branch)


def with_index(arrival: Arrival, index: int) -> Arrival:
    """The same leaf and path, claimed to stand elsewhere."""
    return Arrival(arrival.leaf, replace(arrival.proof, index=index))
