"""What hosts say to each other, in words for somebody who is learning the protocol.

A frame to several hosts is one line. Decoding everything again costs time, so a world is only explained to
this depth when somebody wants its trace.
"""

from bench.sim.host import Host
from bench.sim.world import World
from consensus import (
    Blocks,
    BlocksRequest,
    Certificates,
    CertificatesRequest,
    HeaderSignature,
    Message,
    PeerError,
    Proposal,
    Status,
    Timeout,
    Vote,
)
from node import wire
from node.pool.messages import (
    Acknowledge,
    Attest,
    BatchesUnavailable,
    Fed,
    FetchBatches,
    FetchedBatch,
    Follow,
    PoolMessage,
    PushBatch,
    SyncRequest,
    SyncResponse,
)

_GOSSIP = {
    wire.Code.EVIDENCE: "evidence of a fault",
    wire.Code.TRANSACTIONS: "transactions that wait",
}


class Explainer:
    """Writes every frame of a world to its timeline's sink; call `end` for the last one."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._first: tuple[int, Host, int, bytes] | None = None
        self._targets: dict[str, None] = {}
        world.network.watch = self._watch

    def _watch(self, source: Host, target: Host, topic: int, body: bytes) -> None:
        now_us = self._world.clock.now_us
        if self._first != (now_us, source, topic, body):
            self.end()
            self._first = (now_us, source, topic, body)
        self._targets[target.name] = None

    def end(self) -> None:
        """Write what was gathered."""
        if self._first is None:
            return
        (now_us, source, topic, body), targets = self._first, self._targets
        # writing a line calls this again
        self._first, self._targets = None, {}
        what, words = frame_in_words(topic, body)
        at_us = now_us - self._world.start_us
        self._world.timeline.detail(at_us, source.name, what, f"{words} -> {' '.join(targets)}")


def frame_in_words(topic: int, body: bytes) -> tuple[str, str]:
    """(one word, the rest) for a frame of any kind, also one that nobody understands."""
    try:
        if topic in (wire.Code.AGREEMENT, wire.Code.BLOCKS):
            return _agreement(wire.agreement_message(topic, body))
        if topic in (wire.Code.DATA, wire.Code.ATTESTATIONS, wire.Code.BATCHES, wire.Code.SYNC):
            return _data(wire.pool_message(topic, body))
    except PeerError as error:
        return "babbles", f"{len(body)} bytes that are no message: {error.detail}"
    gossip = [words for code, words in _GOSSIP.items() if code == topic]
    return "gossips", f"{gossip[0] if gossip else f'topic {topic}'}, {len(body)} bytes"


def _agreement(message: Message) -> tuple[str, str]:
    match message:
        case Proposal(block):
            after = f"after the certificate of round {block.qc.round}"
            if block.tc is not None:
                after += f" and the timeouts of round {block.tc.round}"
            payload = f"{len(block.payload)} bytes to order" if block.payload else "nothing to order"
            return "proposes", f"block {_short(block.id)} for round {block.round}, {after}, {payload}"
        case Vote() as vote:
            settles = "" if vote.commit_id is None else f", which would commit {_short(vote.commit_id)}"
            return "votes", f"for block {_short(vote.block_id)} in round {vote.round}{settles}"
        case Timeout() as timeout:
            return "gives up", f"round {timeout.round}, knows the certificate of round {timeout.hqc.round}"
        case HeaderSignature() as signed:
            return "signs", f"the result {_short(signed.header_hash)} of height {signed.height}"
        case Status() as status:
            heights = f"committed {status.committed_height}, certified {status.certified_height}"
            return "tells", f"it is in round {status.round}, {heights}"
        case CertificatesRequest(round):
            return "asks", f"for newer certificates, being in round {round}"
        case Certificates(qc, tc, certified):
            known = (("qc", qc), ("tc", tc), ("header", certified))
            return (
                "sends",
                f"its newest certificates: {' '.join(n for n, c in known if c is not None) or 'none'}",
            )
        case BlocksRequest(block_id, count):
            return "asks", f"for block {_short(block_id)} and up to {count - 1} before it"
        case Blocks(proposals):
            return "sends", f"{len(proposals)} blocks, the newest of round {proposals[0].block.round}"


def _data(message: PoolMessage) -> tuple[str, str]:
    match message:
        case PushBatch(data):
            return "pushes", f"a batch of {len(data)} bytes"
        case Acknowledge(digests):
            return "keeps", f"batches {' '.join(map(_short, digests))}, durably"
        case Attest(digests):
            return "attests", f"that it verified batches {' '.join(map(_short, digests))}"
        case FetchBatches(digests):
            return "asks", f"for batches {' '.join(map(_short, digests))}"
        case FetchedBatch(data):
            return "sends", f"a batch of {len(data)} bytes that was asked for"
        case BatchesUnavailable(digests):
            return "lacks", f"batches {' '.join(map(_short, digests))}"
        case SyncRequest(from_height, count):
            return "asks", f"for {count} heights from {from_height}"
        case SyncResponse() as answer:
            return "sends", f"{len(answer.items)} heights from {answer.from_height}"
        case Follow(_, height, feed):
            return "asks", f"what is certified above {height}" + (", and to be fed" if feed else "")
        case Fed(distance):
            return ("feeds", f"from {distance} steps away") if distance is not None else ("does not", "feed")


def _short(name: bytes) -> str:
    return name.hex()[:6]
