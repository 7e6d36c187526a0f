"""How a validator is put together from genesis, what was recovered, and a key that may sign.

The one place that knows everybody's constructor. It decides nothing but who is handed to whom.
"""

from dataclasses import dataclass, replace
from functools import partial

from consensus import (
    ED25519,
    Digest,
    LocalError,
    PublicKey,
    ReplicaConfig,
    SafetyRules,
    SignatureScheme,
)
from node.genesis import Genesis
from node.ledger.apps import Apps
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.execution import Ledger
from node.ledger.features import names_known
from node.ledger.governance.app import NAME as GOVERNANCE
from node.ledger.governance.door import require_known
from node.ledger.params import Benchmark, Params
from node.ledger.replay import id_key, replay_id
from node.ledger.state import Space, StateReader
from node.ledger.transactions import Transaction
from node.pool.admission import Admission, AdmissionConfig
from node.pool.batches import Batch, BatchContent, BatchRules
from node.pool.catchup import CatchUp, CatchUpConfig
from node.pool.config import PoolConfig
from node.pool.contents import parse_contents
from node.pool.payload import PayloadRules
from node.proofs.header import Header
from node.storage import ChainTable, Reader, StateTable
from node.validator.dataplane import DataPlane
from node.validator.desk import Desk
from node.validator.directory import Directory
from node.validator.durable import DurableBook
from node.validator.epochs import Epochs
from node.validator.feeding import Feeding
from node.validator.held import HeldBlocks
from node.validator.layout import SPACE_TABLES, height_key
from node.validator.line import ExecutionLine
from node.validator.mail import Mail
from node.validator.recovered import Recovered, load_block
from node.validator.storing import Storing
from node.validator.term import Terms, TermStart
from node.validator.validator import Validator


@dataclass(frozen=True, slots=True)
class Tuning:
    """What a node may choose for itself; everything voters must agree on is in genesis."""

    base_timeout_ms: int = 600
    seal_delay_ms: int = 25
    sender_per_second: int = 0
    """Transactions of one key taken in from clients; 0: any number."""
    halt_height: int = 0
    """Nothing above this height is executed, so no header above it is signed; 0: no such height."""
    verification_certificates: bool = False
    """Whether a batch that a blocking set attests is believed (VC1)."""
    commit_target_ms: int = 0
    """From sealing to execution; own batches that take longer let fewer be under way. 0: any number."""


_CHUNKS_OF = {Benchmark.OPAQUE: BatchContent.CHUNKS, Benchmark.SIGNED: BatchContent.SIGNED_CHUNKS}


class StateView:
    """The ledger's reader over the database."""

    def __init__(self, reader: Reader) -> None:
        self._get = reader.get

    def get(self, space: Space, key: bytes) -> bytes | None:
        """The stored value of a state key."""
        return self._get(SPACE_TABLES[space], key)


def pool_config(genesis: Genesis, tuning: Tuning, scheme: SignatureScheme = ED25519) -> PoolConfig:
    """The data plane's rules of this cluster and the choices of this node."""
    params = genesis.params
    rules = BatchRules(
        genesis.cluster_id,
        batch_bytes_max=params.batch_bytes_max,
        transaction_bytes_max=params.max_transaction_bytes,
        scheme=scheme,
    )
    if params.benchmark is not None:
        content = _CHUNKS_OF[params.benchmark]
        rules = replace(rules, content=content, transaction_bytes_max=params.batch_bytes_max)
    return PoolConfig(
        rules,
        PayloadRules(inline_bytes_max=params.inline_bytes_max),
        seal_delay_ms=tuning.seal_delay_ms,
        verification_certificates=tuning.verification_certificates,
        committed_heights_max=params.certification_lag_max,
        commit_target_ms=tuning.commit_target_ms,
    )


def assemble(
    genesis: Genesis,
    recovered: Recovered,
    reader: Reader,
    *,
    consensus_key: PublicKey | None,
    safety: SafetyRules | None,
    tuning: Tuning,
    now_ms: int,
    scheme: SignatureScheme = ED25519,
) -> Validator:
    """A validator ready for its first input, `Start`. `consensus_key` is None for an observer; `safety` is
    None when nothing may be signed. `reader` sees what the latest flush stored."""
    state: StateReader = StateView(reader)
    ledger = Ledger(genesis.params, state, recovered.tip, scheme=scheme, name=genesis.name)
    ledger.require_known_features()
    data_plane = pool_config(genesis, tuning, scheme)
    terms = Terms(
        _replica_config(genesis, tuning), data_plane, Epochs(genesis, reader), consensus_key, safety, scheme
    )
    term = terms.begin(ledger.roster, TermStart.of(recovered))
    ordered = recently_ordered(reader, recovered, data_plane)
    batches = [(digest, Batch.decode(data, data_plane.batch, digest)) for digest, data in recovered.batches]
    beginning = term.pool.recover(
        (batch.encoded for _, batch in batches if batch.epoch == term.epoch),
        ordered,
        recovered.tip.header.time_ms,
        now_ms,
    )
    apps = Apps(genesis.params.apps)
    desk = Desk(
        Admission(
            AdmissionConfig(
                expiry_cap_ms=genesis.params.replay_cap_ms, sender_per_second=tuning.sender_per_second
            ),
            data_plane,
            ledger.knows,
            lambda transaction: _check_call(apps, ledger, transaction),
        ),
        lambda transaction, now_ms: _is_replay(reader, genesis.params, transaction, now_ms),
    )
    mail = Mail(Directory(term.roster))
    line = ExecutionLine(
        ledger, genesis.params.max_transaction_bytes, desk.admission.opened, tuning.halt_height
    )
    if recovered.certified is not None and recovered.certified.height > recovered.tip.height:
        line.certify(recovered.certified)  # agreement knows it already and will not tell it again
    book = DurableBook(recovered)
    book.executed(tuple(digest for digest, _ in ordered))
    past = [batch for _, batch in batches if batch.epoch != term.epoch]
    book.forget(tuple(batch.digest for batch in past))
    data = DataPlane(
        mail,
        term.pool,
        CatchUp(CatchUpConfig(data_plane, halt_height=tuning.halt_height), term.trust),
        line,
        Storing(line, book, recovered.tip.height),
        book,
        desk,
        HeldBlocks(genesis.params.certification_lag_max),
    )
    desk.admission.sender_bytes_max = lambda: data.pool.sealer.sender_bytes_max
    desk.admission.is_own = lambda sender: data.pool.sealer.is_own(sender)
    executed = frozenset(digest for digest, _ in ordered)
    own = [batch for batch in past if batch.digest not in executed and terms.is_ours(batch)]
    certified = recovered.certified
    stored = certified if certified is not None and certified.height <= recovered.tip.height else None
    feeding = Feeding(mail, data, terms.epochs, term, stored)
    return Validator(mail, data, terms, term, feeding, beginning, _not_stored(own, reader, data_plane))


def _not_stored(batches: list[Batch], reader: Reader, config: PoolConfig) -> list[Transaction]:
    """Transactions of our own batches of an epoch that is over, as far as no block was executed with them."""
    found = (
        Transaction.decode(data, config.batch.transaction_bytes_max)
        for batch in batches
        for data in batch.transactions
    )
    return [t for t in found if reader.get(ChainTable.TRANSACTIONS, t.id) is None]


def _check_call(apps: Apps, ledger: Ledger, transaction: Transaction) -> None:
    app, method, args = transaction.app, transaction.method, transaction.args
    if ledger.params.benchmark is not None:  # governance too: its batches hold chunks and nothing else
        raise RejectedTransaction(Code.UNKNOWN_APP, "a benchmark cluster takes opaque bytes alone")
    apps.check(app, method, args, ledger.features)
    if app == GOVERNANCE:
        require_known(method, args, partial(ledger.overlay.get, Space.STATE), names_known())


def _is_replay(reader: Reader, params: Params, transaction: Transaction, now_ms: int) -> bool:
    """Whether a stored transaction other than this one used the same (sender, id) and is remembered."""
    bucket = reader.get(StateTable.REPLAY, id_key(replay_id(transaction.sender, transaction.unique_id)))
    if bucket is None or int.from_bytes(bucket, "big") < now_ms // params.replay_bucket_ms:
        return False
    return reader.get(ChainTable.TRANSACTIONS, transaction.id) is None


def _replica_config(genesis: Genesis, tuning: Tuning) -> ReplicaConfig:
    params = genesis.params
    return ReplicaConfig(
        genesis.cluster_id,
        base_timeout_ms=tuning.base_timeout_ms,
        idle_interval_ms=params.idle_interval_ms,
        heartbeat_ms=params.heartbeat_ms,
        precision_ms=params.precision_ms,
        certification_lag_max=params.certification_lag_max,
        payload_bytes_max=params.inline_bytes_max + _REFERENCES_BYTES_MAX,
    )


_REFERENCES_BYTES_MAX = 64 * 48
"""Room for as many references as a payload may hold, beside its inline bodies."""


def recently_ordered(reader: Reader, recovered: Recovered, config: PoolConfig) -> list[tuple[Digest, int]]:
    """Digests that stored blocks ordered and that may not have expired, with their blocks' times: walking
    back from the tip as far as a batch can live. Only what can still be proposed again needs remembering."""
    found: list[tuple[Digest, int]] = []
    end_ms = recovered.tip.header.time_ms - config.payload.horizon_ms
    for height in range(recovered.tip.height, 0, -1):
        stored = reader.get(ChainTable.HEADERS, height_key(height))
        if stored is None:
            raise LocalError(f"header {height} is missing from the database")
        block = load_block(reader, Header.decode(stored).block_id).block
        if block.time_ms < end_ms:
            break
        found += [(digest, block.time_ms) for digest in parse_contents(block, config).names()]
    return found
