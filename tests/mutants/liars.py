"""The Byzantine hosts that some rules are there for: small liars around a shipped validator.

A liar rewrites what its own validator says, with its own key, so that whatever it does not lie about is done
properly. Each is made from a seed, which few of them need.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from bench.sim.host import Host
from consensus import (
    Block,
    Certificates,
    Digest,
    HeaderCertificate,
    HeaderSignature,
    Height,
    LeaderSchedule,
    Message,
    Proposal,
    QuorumCertificate,
    Round,
    Standing,
    TimeoutCertificate,
    ValidatorIndex,
    Vote,
    decode_message,
    proposal_digest,
    standing_after,
    vote_digest,
)
from node import wire
from node.pool.messages import SyncResponse
from node.pool.payload import Payload, Reference
from node.validator import Input

Rewrite = Callable[[Host, Block], Block | None]
_HOUR_MS = 3_600_000


class Leader:
    """Proposes something else than its validator does, and votes for it. `rewrite` says what, None for the
    block as it is."""

    def __init__(self, rewrite: Rewrite) -> None:
        self._rewrite = rewrite
        self._lies: dict[Digest, Proposal] = {}  # by the id of what the validator proposed
        self._told: dict[tuple[Digest, int], tuple[int, bytes]] = {}

    def started(self, host: Host) -> None:
        """Nothing is begun."""

    def incoming(self, host: Host, item: Input) -> Iterable[Input]:
        """The validator hears everything."""
        return (item,)

    def outgoing(self, host: Host, target: Host, topic: int, body: bytes) -> Iterator[tuple[int, bytes]]:
        """Own proposals, and the votes for them, are rewritten."""
        message = _own(host, topic, body)
        if isinstance(message, Proposal):
            lie = self._lie(host, message)
            yield wire.frame_of_agreement(lie)
        elif isinstance(message, Vote) and message.block_id in self._lies:
            yield wire.frame_of_agreement(vote_for(host, self._lies[message.block_id].block))
        else:
            yield topic, body

    def _lie(self, host: Host, proposal: Proposal) -> Proposal:
        known = self._lies.get(proposal.block.id)
        if known is None:
            block = self._rewrite(host, proposal.block) or proposal.block
            known = self._lies[proposal.block.id] = signed(host, block)
        return known


def _own(host: Host, topic: int, body: bytes) -> Message | None:
    """An agreement message that the host's own validator makes in its name."""
    if topic != wire.Code.AGREEMENT:
        return None
    message = decode_message(body)
    if isinstance(message, Proposal):
        return message if message.block.author == host.index else None
    return message


def signed(host: Host, block: Block) -> Proposal:
    """A block as the host's validator would have proposed it."""
    message = proposal_digest(block.cluster_id, block.epoch, block.round, block.id)
    return Proposal(block, host.key.sign(message))


def vote_for(host: Host, block: Block) -> Vote:
    """The host's vote for any block."""
    fields = (block.epoch, block.round, block.id, block.qc.block_id, block.qc.round, block.commit_id)
    return Vote(*fields, ValidatorIndex(host.index), host.key.sign(vote_digest(block.cluster_id, *fields)))


def remade(
    host: Host,
    block: Block,
    *,
    qc: QuorumCertificate | None = None,
    tc: TimeoutCertificate | None = None,
    payload: bytes | None = None,
    time_ms: int | None = None,
    standing: Standing | None = None,
) -> Block:
    """The block with something else in it, and with the standing that its chain then shows, or this one."""
    chosen, validators = qc or block.qc, host.validator.validators
    parent = host.validator.replica.proposal(chosen.block_id)
    before = () if parent is None else parent.block.standing
    schedule = LeaderSchedule(validators)
    shown = (
        standing_after(before, chosen, block.round, block.author, schedule, validators)
        if qc
        else block.standing
    )
    return Block.make(
        cluster_id=block.cluster_id,
        epoch=block.epoch,
        round=block.round,
        qc=chosen,
        tc=tc or block.tc,
        certified=block.certified,
        payload=block.payload if payload is None else payload,
        author=block.author,
        time_ms=time_ms or block.time_ms,
        standing=shown if standing is None else standing,
    )


# --- liars in their own proposals ---------------------------------------------


def below(host: Host, block: Block) -> QuorumCertificate | None:
    """The certificate of the parent of the block that this block extends."""
    parent = host.validator.replica.proposal(block.qc.block_id)
    return None if parent is None else parent.block.qc


def extend_below(host: Host, block: Block) -> Block | None:
    """After a failed round: extend what lies below the highest certificate, in spite of the TC."""
    qc = None if block.tc is None else below(host, block)
    return None if qc is None else remade(host, block, qc=qc, payload=b"")


def belittle(host: Host, block: Block) -> Block | None:
    """The same with a TC that claims that nobody reported more."""
    qc = None if block.tc is None else below(host, block)
    if qc is None or block.tc is None:
        return None
    claimed = tuple(Round(min(qc.round, reported)) for reported in block.tc.hqc_rounds)
    return remade(host, block, qc=qc, tc=replace(block.tc, hqc_rounds=claimed), payload=b"")


def embed_junk(host: Host, block: Block) -> Block | None:
    """One signature of the embedded QC is junk (C6)."""
    if block.qc.is_root:
        return None
    return remade(host, block, qc=replace(block.qc, signatures=bytes(64) + block.qc.signatures[64:]))


def run_ahead(host: Host, block: Block) -> Block:
    """An hour ahead of every clock (C8)."""
    return remade(host, block, time_ms=block.time_ms + _HOUR_MS)


def name_a_phantom(host: Host, block: Block) -> Block:
    """Order a batch that nobody has ever seen (C9)."""
    phantom = Digest(host.world.random.randbytes(32))
    payload = Payload((Reference(ValidatorIndex(host.index), phantom),), ())
    return remade(host, block, payload=payload.encode())


def leads_by(rewrite: Rewrite) -> Callable[[int], Leader]:
    """A factory of leaders that rewrite their blocks so."""
    return lambda seed: Leader(rewrite)


# --- other liars ---------------------------------------------


class Equivocator:
    """Proposes two blocks a round: everybody gets both, in either order, and votes for both."""

    def __init__(self, seed: int) -> None:
        self._twins: dict[Digest, Proposal] = {}

    def started(self, host: Host) -> None:
        """Nothing is begun."""

    def incoming(self, host: Host, item: Input) -> Iterable[Input]:
        """The validator hears everything."""
        return (item,)

    def outgoing(self, host: Host, target: Host, topic: int, body: bytes) -> Iterator[tuple[int, bytes]]:
        """Each own proposal and vote has a twin."""
        message = _own(host, topic, body)
        frames = [(topic, body)]
        if isinstance(message, Proposal):
            twin = self._twin(host, message)
            frames.append(wire.frame_of_agreement(twin))
        elif isinstance(message, Vote) and message.block_id in self._twins:
            frames.append(wire.frame_of_agreement(vote_for(host, self._twins[message.block_id].block)))
        if host.world.random.random() < 0.5:
            frames.reverse()
        yield from frames

    def _twin(self, host: Host, proposal: Proposal) -> Proposal:
        known = self._twins.get(proposal.block.id)
        if known is None:
            block = proposal.block
            known = self._twins[block.id] = signed(
                host, remade(host, block, time_ms=block.time_ms + 1, payload=b"")
            )
        return known


class Dissenter:
    """Signs another header than everybody else; one alone must not put anybody in doubt (C3, C10)."""

    def __init__(self, seed: int) -> None:
        pass

    def started(self, host: Host) -> None:
        """Nothing is begun."""

    def incoming(self, host: Host, item: Input) -> Iterable[Input]:
        """The validator hears everything."""
        return (item,)

    def outgoing(self, host: Host, target: Host, topic: int, body: bytes) -> Iterator[tuple[int, bytes]]:
        """Its header signatures are of another hash."""
        message = _own(host, topic, body)
        if not isinstance(message, HeaderSignature):
            yield topic, body
            return
        false = replace(message, header_hash=message.block_id)
        statement = false.digest(host.world.genesis.cluster_id)
        yield wire.frame_of_agreement(replace(false, signature=host.key.sign(statement)))


class Recycler:
    """Puts the signatures of a true header certificate under a false one of the next height."""

    def __init__(self, seed: int) -> None:
        self._done: dict[int, None] = {}

    def started(self, host: Host) -> None:
        """Nothing is begun."""

    def incoming(self, host: Host, item: Input) -> Iterable[Input]:
        """The validator hears everything."""
        return (item,)

    def outgoing(self, host: Host, target: Host, topic: int, body: bytes) -> Iterator[tuple[int, bytes]]:
        """With each vote goes a false certificate."""
        yield topic, body
        certified = host.validator.replica.certified()
        if certified is not None and isinstance(_own(host, topic, body), Vote):
            yield wire.frame_of_agreement(Certificates(None, None, _false(certified)))


def _false(certified: HeaderCertificate) -> HeaderCertificate:
    return replace(certified, height=Height(certified.height + 1), header_hash=certified.block_id)


class Librarian:
    """Serves catch-up with bodies that are not those the blocks name."""

    def __init__(self, seed: int) -> None:
        pass

    def started(self, host: Host) -> None:
        """Nothing is begun."""

    def incoming(self, host: Host, item: Input) -> Iterable[Input]:
        """The validator hears everything."""
        return (item,)

    def outgoing(self, host: Host, target: Host, topic: int, body: bytes) -> Iterator[tuple[int, bytes]]:
        """Batches are left out of what it serves."""
        message = wire.pool_message(topic, body) if topic == wire.Code.SYNC else None
        if isinstance(message, SyncResponse) and message.items:
            items = tuple(replace(item, batches=item.batches[:-1]) for item in message.items)
            yield wire.frame_of_pool(replace(message, items=items))
        else:
            yield topic, body
