"""Mutants of the data plane: batches that get lost, are believed or ordered too early, and catching up."""

from collections.abc import Sequence

from bench.sim import labour
from consensus import Block, CodecError, PayloadReady, Round, SignatureScheme
from consensus.blocktree import Node
from consensus.certificates import HeaderCertificate
from consensus.core import ReplicaCore
from consensus.ordering import Ordering
from node.ledger.transactions import Transaction
from node.pool import batches, verifying
from node.pool.batches import Batch, batch_digest
from node.pool.config import PoolConfig
from node.pool.contents import parse_contents
from node.pool.effects import Answer, PoolEffect
from node.pool.messages import SyncItem
from node.pool.payload import Payload
from node.pool.pool import BatchPool
from tests.mutants.hunt import Hunt
from tests.mutants.liars import Librarian, leads_by, name_a_phantom
from tests.mutants.mutant import Mutant, Patch
from tests.mutants.weather import NETWORK, absence, crash, hoarse

_on_check = BatchPool.on_check


def _drop_on_sight(
    self: BatchPool, block: Block, ancestors: Sequence[Block], now_ms: int
) -> list[PoolEffect]:
    effects = _on_check(self, block, ancestors, now_ms)
    for name in self.contents.of(block).names():
        self._shelf.mark_ordered(name)
    return effects


_on_request = BatchPool.on_request


def _drain(
    self: BatchPool, round: Round, time_ms: int, ancestors: Sequence[Block], bytes_max: int, now_ms: int
) -> list[PoolEffect]:
    effects = _on_request(self, round, time_ms, ancestors, bytes_max, now_ms)
    for effect in effects:
        if isinstance(effect, Answer) and isinstance(effect.event, PayloadReady):
            payload = Payload.decode(effect.event.payload, self._config.payload)
            for name in (*(r.digest for r in payload.references), *map(batch_digest, payload.inline)):
                self._shelf.mark_ordered(name)
    return effects


def _payload_is_believed(self: Ordering, block: Block) -> bool:
    return True


def _believed(transaction: Transaction, scheme: SignatureScheme) -> bool:
    return True


def _no_lag(self: ReplicaCore, parent: Node, certified: HeaderCertificate | None) -> int:
    return 0


def _batches_as_sent(item: SyncItem, block: Block, config: PoolConfig) -> tuple[Batch, ...]:
    found = []
    for body in item.batches:
        try:
            found.append(Batch.decode(body, config.batch))
        except CodecError:
            continue
    return (*found, *parse_contents(block, config).inline)


DATAPLANE = (
    Mutant(
        "batches-dropped-on-sight",
        "1.5, C9: what is not ordered is proposed again",
        "asonnino/hotstuff, a leader drains its buffer, and cleanup_proposer drops the digests of a "
        "block that was merely received.",
        Hunt(faults=NETWORK),
        (Patch(BatchPool, "on_check", _drop_on_sight), Patch(BatchPool, "on_request", _drain)),
    ),
    Mutant(
        "vote-without-the-batch",
        "C9, V7: a vote only for payload that is held durably",
        "Digests are small and arrive first: voting on them alone orders what nobody may ever see.",
        Hunt(liars=((3, leads_by(name_a_phantom)),)),
        (Patch(Ordering, "_payload_is_here", _payload_is_believed),),
    ),
    Mutant(
        "transaction-signature-unchecked",
        "C22: signatures are checked before the vote",
        "asonnino/hotstuff orders opaque bytes; whoever executes them believes that somebody looked.",
        Hunt(),
        (Patch(batches, "check_signature", _believed), Patch(labour, "check_signature", _believed)),
    ),
    Mutant(
        "no-back-pressure",
        "C13: no payload while certification lags",
        "Order-then-execute without a bound: the pipeline behind ordering fills the memory.",
        Hunt(storm_ms=4_000, faults=(hoarse,), bulky=True, pause_ms=(2, 6), lag_max=1, seal_delay_ms=2),
        (Patch(ReplicaCore, "lag", _no_lag),),
    ),
    Mutant(
        "catch-up-believes-bodies",
        "C25: bodies are those that the certified blocks name",
        "monad-bft #1970 and its kin: answers of a sync peer are taken as they come.",
        Hunt(faults=(absence, absence, crash), lag_max=4, inline_bytes=0, liars=((3, Librarian),)),
        (Patch(verifying, "_batches_of", _batches_as_sent),),
        likely=1,
    ),
)
