"""All checkers behind one door: bytes are read here once and handed to whoever looks at them.

What honest hosts send, write and store must pass everything. Of hosts in `exempt`, whose faults are the
test's own, only the certificates are believed, and only those that verify: a quorum signed them.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from bench.sim.checkers.agreement import Agreement
from bench.sim.checkers.bounds import Bounds, HighWater
from bench.sim.checkers.certificates import Certificates
from bench.sim.checkers.durability import Durability
from bench.sim.checkers.headers import Headers, root_of
from bench.sim.checkers.leaders import Leaders
from bench.sim.checkers.liveness import Liveness
from bench.sim.checkers.opaque import OpaqueValidity
from bench.sim.checkers.quorum import Quorum
from bench.sim.checkers.reading import BlockReader, Fields, SeenBlock, place, placed, unpack
from bench.sim.checkers.rosters import Rosters
from bench.sim.checkers.signing import Signing
from bench.sim.checkers.stored import StoredChain
from bench.sim.checkers.validity import Validity
from bench.sim.setting import Setting
from bench.sim.violation import Violation
from consensus import CodecError, Digest, PeerError
from node import wire
from node.ledger.params import Benchmark
from node.ledger.transactions import Transaction
from node.pool.config import PoolConfig
from node.storage import StateTable
from node.validator import Flush, Refusal

if TYPE_CHECKING:
    from bench.sim.host import Host

INVARIANTS = (
    "agreement",
    "leaders",
    "quorum",
    "signing",
    "durability",
    "validity",
    "certificates",
    "headers",
    "liveness",
    "bounds",
    "blame",
)
"""What a `Violation` of a checker may name, one word each."""

_PROPOSAL, _VOTE, _TIMEOUT, _HEADER, _CERTIFICATES, _BLOCKS = 1, 2, 3, 4, 7, 9
_PERSIST, _SYNC_RESPONSE = 1, 7
_ROSTER_KEY = b"governance/validators"
SOUND_MAX = 1_024
"""Blocks known to carry good certificates, oldest out first."""


class Checkers:
    """Everything remembered about a run. Every `on_` and `check_` raises Violation."""

    def __init__(self, setting: Setting, config: PoolConfig, now_ms: Callable[[], int]) -> None:
        genesis = setting.genesis
        header = genesis.genesis_header().encoded
        root_id = root_of(genesis.cluster_id, header)
        members = [(validator.consensus_key, validator.weight) for validator in genesis.validators]
        weights = [weight for _, weight in members]
        self._cluster_id = genesis.cluster_id
        self.rosters = Rosters([key.public_key for key in setting.validators], members)
        self.exempt: dict[int, None] = {}
        self._blocks = BlockReader()
        self._sound: dict[bytes, None] = {}
        self._last: tuple[bytes, Host] | None = None
        self.certificates = Certificates(genesis.cluster_id, root_id, members, config.batch.scheme)
        self.agreement = Agreement(root_id, Leaders(self.rosters).on_committed)
        self.quorum = Quorum(weights)
        self.signing = Signing(self.rosters.number_of)
        self.durability = Durability(self._blocks)
        self.validity: Validity | OpaqueValidity = (
            OpaqueValidity(
                genesis.cluster_id,
                genesis.state_root,
                self._blocks,
                setting.scheme if genesis.params.benchmark is Benchmark.SIGNED else None,
            )
            if genesis.params.benchmark is not None
            else Validity(genesis.cluster_id, genesis.params.replay_cap_ms, setting.scheme, self._blocks)
        )
        self.chain = Headers(header)
        self.liveness = Liveness(weights, self.exempt, now_ms)
        self.bounds = Bounds()
        self._blame = ""

    @property
    def signed(self) -> dict[tuple[str, int, int], object]:
        """What honest hosts signed, by (kind, validator, round or height)."""
        return self.signing.signed

    @property
    def votes(self) -> int:
        """Votes that honest hosts sent."""
        return self.signing.votes

    @property
    def headers(self) -> dict[int, bytes]:
        """Headers by height."""
        return self.chain.headers

    @property
    def executed(self) -> dict[int, bytes]:
        """Hashes of headers by height, stored or not."""
        return self.chain.executed

    @property
    def acknowledged(self) -> dict[bytes, int]:
        """Heights of transactions of which a client may hold a receipt."""
        return self.durability.acknowledged

    @property
    def high_water(self) -> dict[str, HighWater]:
        """The most that any host ever held of anything, by name."""
        return self.bounds.high_water

    # --- clients ---------------------------------------------------------------------------------------

    def on_made(self, transaction: Transaction) -> None:
        """A client signed this."""
        self.validity.on_made(transaction.id)
        self.liveness.on_made(transaction.id, transaction.expires_at_ms)

    def on_answer(self, host: "Host", outcomes: tuple[Digest | Refusal, ...]) -> None:
        """A host answered a client."""
        if host.index not in self.exempt:
            self.liveness.on_answer(outcomes)

    # --- peers -----------------------------------------------------------------------------------------

    def on_punished(self, host: "Host", accused: "list[Host]", code: str, doubled: bool) -> None:
        """A host held a peer's frame against it: a daemon ends such links and bans the peer after a few.
        `doubled` frames, which TCP never has, are answers that nobody asked for the second time."""
        if self._blame or host.index in self.exempt or not accused or accused[0].index in self.exempt:
            return
        if not (doubled and code.endswith("-unsolicited")):
            self._blame = f"host {host.name} punishes the honest host {accused[0].name} for {code}"

    def check_blame(self) -> None:
        """Nobody honest was punished by anybody honest. Looked at in the end: what else breaks tells more."""
        if self._blame:
            raise Violation("blame", self._blame)

    def on_timer(self, host: "Host", name: str, delay_ms: int) -> None:
        """A host asks for a timer."""
        if host.index not in self.exempt:
            self.liveness.on_timer(host.place, name, delay_ms)

    # --- calm ------------------------------------------------------------------------------------------

    def on_calm(self) -> None:
        """The last fault is over, and everybody up or starting: from now on progress is owed."""
        self.liveness.on_calm()

    def on_trouble(self) -> None:
        """Faults go on."""
        self.liveness.on_trouble()

    # --- the loop --------------------------------------------------------------------------------------

    def on_stepped(self, host: "Host") -> None:
        """After a step."""
        if host.index not in self.exempt:
            self.chain.on_stepped(host)
            self.liveness.check()

    def check_bounds(self, host: "Host") -> None:
        """No queue, cache or pool beyond its bound."""
        self.bounds.check(host)

    def check_stored(self, host: "Host") -> None:
        """The host stores everything acknowledged, once, and the state it leads to."""
        self.durability.check_stored(host)
        self.validity.check_state(host)

    # --- the journal -----------------------------------------------------------------------------------

    def on_record(self, host: "Host", record: bytes) -> None:
        """A journal record is on disk."""
        if host.index in self.exempt:
            return
        fields = unpack(record)
        if fields[0] != _PERSIST:
            self.durability.on_held(host, fields[1])
            return
        _, safety, proposals, high_qc, high_tc, certified = fields
        for data, _ in proposals:
            block = self._block(host, data)
            self.durability.on_held(host, block.id)
            self.signing.on_journaled_block(host.index, block)
        self._certificates(host, high_qc, high_tc, certified)
        if safety is not None:
            self.signing.on_record(host.index, safety)

    # --- frames ----------------------------------------------------------------------------------------

    def on_frame(self, host: "Host", topic: int, body: bytes) -> None:
        """A frame leaves a host, for one other or for all; called once or for each, it is read once."""
        last = self._last
        if last is not None and last[0] is body and last[1] is host:
            return
        self._last = (body, host)
        if host.index in self.exempt and not _is_shaped(topic, body):
            return
        if topic in (wire.Code.AGREEMENT, wire.Code.BLOCKS):
            self._on_agreement(host, unpack(body))
        elif topic == wire.Code.SYNC:
            self._on_sync(host, unpack(body))
        elif topic == wire.Code.EVIDENCE and host.index not in self.exempt:
            _, _, epoch, seat, *_ = unpack(body)
            accused = self.rosters.number_of(epoch, seat)
            if accused not in self.exempt:
                self.signing.on_evidence(accused)

    def on_received(self, senders: "list[Host]", topic: int, body: bytes) -> None:
        """A frame arrives from this identity. What exempt hosts say is read here: it may have been changed
        on its way out, or never have been asked for."""
        if self.exempt and senders and senders[0].index in self.exempt:
            self.on_frame(senders[0], topic, body)

    def _on_agreement(self, host: "Host", message: Fields) -> None:
        kind, index, honest = message[0], host.index, host.index not in self.exempt
        if kind == _VOTE:
            vote = message[1:]
            if honest:
                self.signing.on_vote(index, host.disk.guard, vote)
                self.durability.on_vote(host, place(vote[0], vote[1]), vote[2])
            elif not self.certificates.is_vote(vote):
                return
            known = placed(vote)
            if self.quorum.on_vote(vote[6], known):
                self.agreement.on_certified(known[3], known[4], known[5])
        elif kind == _PROPOSAL:
            block = self._block(host, message[1])
            if honest:
                self.signing.on_proposal(index, host.disk.guard, block)
        elif kind == _TIMEOUT:
            self._certificates(host, message[3], message[4], None)
            if honest:
                self.signing.on_timeout(index, host.disk.guard, message[1:])
        elif kind == _HEADER and honest:
            signed = message[1:]
            self.signing.on_header(index, host.disk.guard, signed)
            self.chain.on_hash(host.name, signed[2], signed[4])
            self.agreement.on_executed(host.name, signed[2], signed[3])
        elif kind == _CERTIFICATES:
            self._certificates(host, message[1], message[2], message[3])
        elif kind == _BLOCKS:
            for data, _ in message[1]:
                self._block(host, data)

    def _on_sync(self, host: "Host", message: Fields) -> None:
        if message[0] != _SYNC_RESPONSE:
            return
        _, _, items, links, certificate = message
        self._certificates(host, None, None, certificate)
        if host.index in self.exempt:
            return
        for header, proposal, _ in items:
            self.chain.on_header(host.name, header)
            self._block(host, unpack(proposal)[0])
        for link in links:
            self.chain.on_header(host.name, link)

    # --- blocks and certificates -----------------------------------------------------------------------

    def _block(self, host: "Host", data: bytes) -> SeenBlock:
        block = self._blocks.read(data)
        if block.id not in self._sound:
            self.agreement.on_block(block)
            self.signing.on_block(block)
            if self._certificates(host, block.qc, block.tc, block.certified):
                self._sound[block.id] = None
                if len(self._sound) > SOUND_MAX:
                    del self._sound[next(iter(self._sound))]
        return block

    def _certificates(
        self, host: "Host", qc: Fields | None, tc: Fields | None, certified: Fields | None
    ) -> bool:
        """Judge what is there, use what is new and good; whether all is good."""
        judged = [self._is_good(host, certificate) for certificate in (qc, tc, certified) if certificate]
        return all(judged)

    def _is_good(self, host: "Host", certificate: Fields) -> bool:
        verdict = self.certificates.known(certificate)
        if verdict == "":
            return True
        if verdict is None:
            verdict = self.certificates.judge(certificate)
            if verdict == "":
                self._use(certificate)
        if verdict and host.index not in self.exempt:
            raise Violation("certificates", f"host {host.name} holds a false one: {verdict}")
        return verdict == ""

    def _use(self, certificate: Fields) -> None:
        known = placed(certificate)
        if len(certificate) == 8:
            self.quorum.on_qc(known)
            self.agreement.on_certified(known[3], known[4], known[5])
        elif len(certificate) == 5:
            self.quorum.on_tc(known)
        else:
            self.chain.on_hash("a quorum", certificate[2], certificate[4])
            self.agreement.on_committed(certificate[3])
        self.signing.on_certificate(known, self.exempt)

    # --- the database ----------------------------------------------------------------------------------

    def on_flush(self, host: "Host", flush: Flush) -> None:
        """A flush is asked for: from now on clients hold receipts, before anything of it is stored here."""
        if host.index in self.exempt:
            return
        chain = StoredChain.of(flush.chain)
        for proposal in chain.proposals:
            self._block(host, unpack(proposal)[0])
        for certificate in chain.certificates:
            self._certificates(host, None, None, certificate)
        planned = max(host.height, host.storing.planned_height)
        self.agreement.on_stored(host.name, planned, [stored.height for stored in chain.heights])
        for stored in chain.heights:
            self.chain.on_header(host.name, stored.header)
            self.agreement.on_executed(host.name, stored.height, unpack(stored.header)[6])
            self._learn_epoch(host, stored.header, flush)
        self.validity.on_flush(host, chain)
        self.durability.on_flush(host, chain)

    def _learn_epoch(self, host: "Host", header: bytes, flush: Flush) -> None:
        fields = unpack(header)
        if fields[15] is None:
            return
        leaf = next(
            (w.value for w in flush.state if w.key == _ROSTER_KEY and w.table is StateTable.STATE), None
        )
        learned = self.rosters.learn(host.name, fields, leaf)
        if learned is not None:
            root_id = root_of(self._cluster_id, header, learned.epoch)
            self.certificates.begin(learned.epoch, root_id, learned.members)
            self.quorum.begin(learned.epoch, learned.weights)
            self.agreement.begin(learned.epoch, root_id, fields[4])
            self.liveness.begin(learned.numbers, learned.weights)

    def on_flushed(self, host: "Host", flush: Flush) -> None:
        """A flush is in both environments: complete, provable, and the same as everybody's."""
        if host.index in self.exempt:
            return
        chain = StoredChain.of(flush.chain)
        self.durability.on_flushed(host, flush.height, chain)
        self.validity.on_flushed(host, chain)
        self.liveness.on_stored(host.index, [name for name, _, _ in chain.positions])


def _is_shaped(topic: int, body: bytes) -> bool:
    """Whether a Byzantine host's frame has the shape of anything; others' always have."""
    try:
        if topic in (wire.Code.AGREEMENT, wire.Code.BLOCKS):
            wire.agreement_message(topic, body)
        elif topic == wire.Code.SYNC:
            wire.pool_message(topic, body)
    except (PeerError, CodecError):
        return False
    return True
