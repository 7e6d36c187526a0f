"""From a home folder to a node that may start: keys, lock, guard, database, journal, and what to sign.

Everything that can be wrong is found here, before the first packet, and said in one sentence. The order
matters: the lock first (one process per key), then reading, then the raised boot count into the journal
and only then into the guard (C14).
"""

import time
from dataclasses import dataclass, replace

from consensus import (
    NO_SEAT,
    CodecError,
    GuardRecord,
    LocalError,
    SafetyRules,
    SigningFloor,
    SigningKey,
    admit,
    decode,
    encode,
)
from node.config import NodeConfig
from node.daemon.guardfile import GuardCorrupt, GuardFile, GuardMissing
from node.daemon.journal import Journal
from node.daemon.keyclaim import KeyClaim
from node.daemon.keylock import KeyLock
from node.daemon.keyswap import stored_roster
from node.daemon.safetyfile import given_away
from node.daemon.segment import JournalForeign
from node.daemon.store import Store, verify_files
from node.genesis import Genesis
from node.home import Home, read_key
from node.ledger.roster import Roster
from node.storage import ChainTable, StorageError, StoreDamaged
from node.validator import Recovered, first_writes, is_empty, recover
from node.validator.epochs import epoch_after
from node.validator.layout import OPEN_KEY, OpenBook, height_key
from node.validator.records import RECORD_BYTES_MAX, encode_start
from p2p import NodeIdentity

JOURNAL_SEGMENTS_MAX = 64
"""Segments the journal may hold when storing lags behind: 4 GiB at the default size, then it stops."""


class StartupError(Exception):
    """The home cannot be started as it is; the sentence says what to do. `code` is stable."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(code, sentence)
        self.code = code
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence


@dataclass(frozen=True, slots=True)
class OpenedHome:
    """A started home. `safety` is None for observers and for keys that must not sign; `floor` says why."""

    config: NodeConfig
    genesis: Genesis
    identity: NodeIdentity
    consensus_key: SigningKey | None
    lock: KeyLock
    claim: KeyClaim | None
    guard: GuardFile | None
    floor: SigningFloor | None
    safety: SafetyRules | None
    store: Store
    journal: Journal
    recovered: Recovered

    def close(self) -> None:
        """Give everything back; the lock last."""
        self.journal.close()
        self.store.close()
        if self.guard is not None:
            self.guard.close()
        if self.claim is not None:
            self.claim.release()
        self.lock.release()


def wall_ms() -> int:
    """The local wall clock in milliseconds."""
    return time.time_ns() // 1_000_000


def open_home(config: NodeConfig) -> OpenedHome:
    """Open a home. Raises StartupError, HomeError, ConfigError, GenesisError, StorageError, KeyInUse,
    LocalError; all of them carry a sentence."""
    home = config.home
    genesis = Genesis.from_json(home.genesis_text())
    identity = NodeIdentity.from_seed(read_key(home.node_key_file))
    key = SigningKey(read_key(home.validator_key_file)) if config.role != "observer" else None
    lock, claim = KeyLock.acquire(home.keys_dir), None
    try:
        if key is not None:
            _check_not_given_away(home)
            claim = KeyClaim.take(key.public_key)
            if config.role == "validator" and not home.chain_dir.exists():
                _check_membership(genesis, None, key, identity)
        store = open_store(config, genesis)
        if key is not None and config.role == "validator":
            _check_stored_membership(genesis, store, key, identity)
        journal, journal_lost = _open_journal(config, store)
        recovered = recover(store.reader(), journal.records(), journal.last_seq)
        guard, floor, safety = None, None, None
        if key is not None:
            guard, floor = _admit(home, recovered, journal_lost)
            recovered, safety = _raise_boot(genesis, key, journal, guard, floor, recovered)
        return OpenedHome(
            config, genesis, identity, key, lock, claim, guard, floor, safety, store, journal, recovered
        )
    except BaseException:
        if claim is not None:
            claim.release()
        lock.release()
        raise


def _check_not_given_away(home: Home) -> None:
    told = given_away(home)
    if told:
        raise StartupError(
            "given-away",
            f"this validator was given away {told}: start it where that file was imported; if nobody did, "
            "take it back with `isthmus safety import FILE --take-back`",
        )


def _check_stored_membership(genesis: Genesis, store: Store, key: SigningKey, identity: NodeIdentity) -> None:
    try:
        with store.snapshot() as snapshot:
            _check_membership(genesis, stored_roster(snapshot), key, identity)
    except StartupError:
        store.close()
        raise


def _check_membership(
    genesis: Genesis, newest: Roster | None, key: SigningKey, identity: NodeIdentity
) -> None:
    """The keys are those of the genesis, or what became of them by the newest epoch that is stored."""
    for record in () if newest is None else newest.validators:
        if (record.consensus_key, bytes(record.node_key)) == (key.public_key, identity.peer_id):
            return
    for validator in genesis.validators:
        if validator.consensus_key == key.public_key:
            if bytes(validator.node_key) != identity.peer_id:
                raise StartupError(
                    "node-key-differs",
                    f"genesis names node key {validator.node_key.hex()[:12]} for this validator, the home "
                    f"has {identity.peer_id.hex()[:12]}; restore keys/node.key from your backup, or, if it "
                    'was rotated and the data is gone, set role = "joining" in config.toml',
                )
            return
    raise StartupError(
        "not-a-validator",
        f"consensus key {key.public_key.hex()[:12]} is not among the validators of cluster "
        f"{genesis.name} ({genesis.cluster_id.hex()[:12]}) that genesis names; put the right genesis.json "
        'into config/, or set role = "joining" in config.toml for a validator that governance admits, or '
        'role = "observer"',
    )


def open_store(config: NodeConfig, genesis: Genesis) -> Store:
    """The databases of a home whose lock the caller holds, begun when they are new. Raises StartupError,
    StorageError."""
    if config.home.chain_dir.exists():
        problems = verify_files(config.home.data_dir)
        if problems:
            raise StoreDamaged(
                f"the database in {config.home.data_dir} is damaged: {problems[0]}; move the data folder "
                "away (never keys) and start: the node fetches everything. `isthmus db check` tells all",
            )
    store = Store.open(config.home.data_dir, map_bytes=config.storage.map_bytes, fsync=config.storage.fsync)
    reader = store.reader()
    if is_empty(reader):
        store.apply(*first_writes(genesis))
    elif reader.get(ChainTable.HEADERS, height_key(0)) != genesis.genesis_header().encoded:
        store.close()
        raise StartupError(
            "genesis-differs",
            f"the data in {config.home.data_dir} belongs to another cluster than genesis.json "
            f"({genesis.name}, {genesis.cluster_id.hex()[:12]}); put the right genesis.json into config/, or "
            "move the data folder away (never the keys)",
        )
    return store


def _open_journal(config: NodeConfig, store: Store) -> tuple[Journal, bool]:
    """The journal, and whether what it held is gone: a start writes into it before anything else, and its
    last segment is never trimmed, so beside a database that was filled from it no journal is empty (C14)."""
    stored = store.reader().get(ChainTable.META, OPEN_KEY)
    known = 0 if stored is None else OpenBook.decode(stored).journal_seq
    journal = Journal.open(
        config.home.journal_dir,
        max_record_bytes=RECORD_BYTES_MAX,
        max_segments=JOURNAL_SEGMENTS_MAX,
        start_seq=known + 1,
        fsync=config.storage.fsync,
    )
    if journal.last_seq < known or journal.first_seq > known + 1:
        held = f"records {journal.first_seq} to {journal.last_seq}"
        journal.close()
        raise StartupError(
            "journal-behind",
            f"the journal in {config.home.journal_dir} ({held}) is older than the database beside it, or not "
            f"its own: that one was filled up to record {known}. Put the right journal back, or move the "
            "data folder away (never the keys): the node then fetches everything from its peers, and signs "
            "only above what its guard file reserved",
        )
    return journal, known > 0 and journal.first_seq > journal.last_seq


def _admit(home: Home, recovered: Recovered, journal_lost: bool) -> tuple[GuardFile | None, SigningFloor]:
    epoch = epoch_after(recovered.tip.header)
    try:
        guard = GuardFile.open(home.guard_file)
        reserved = GuardRecord.from_value(decode(guard.payload))
    except (GuardMissing, GuardCorrupt):
        return None, admit(recovered.record, None, epoch)
    except CodecError as error:
        raise StartupError(
            "guard-unreadable", f"{home.guard_file} is not a guard of this program: {error}"
        ) from error
    floor = admit(
        recovered.record,
        reserved,
        epoch,
        guard_slot_lost=guard.damaged_slot,
        journal_damaged=journal_lost,
    )
    return guard, floor


def signing_floor(config: NodeConfig) -> SigningFloor:
    """What a start of this validator would sign from; the caller holds the key's lock, and nothing but the
    journal's own marks is written. Raises what `open_home` raises."""
    store = open_store(config, Genesis.from_json(config.home.genesis_text()))
    try:
        journal, journal_lost = _open_journal(config, store)
        try:
            recovered = recover(store.reader(), journal.records(), journal.last_seq)
            guard, floor = _admit(config.home, recovered, journal_lost)
            if guard is not None:
                guard.close()
            return floor
        finally:
            journal.close()
    finally:
        store.close()


def _raise_boot(
    genesis: Genesis,
    key: SigningKey,
    journal: Journal,
    guard: GuardFile | None,
    floor: SigningFloor,
    recovered: Recovered,
) -> tuple[Recovered, SafetyRules | None]:
    """The journal first, then the guard: a crash in between leaves the journal ahead, which is harmless."""
    if guard is None or floor.record is None or floor.guard is None:
        return recovered, None
    seq = journal.append([encode_start(floor.record)])
    guard.store(encode(floor.guard.to_value()))
    safety = SafetyRules(key, genesis.cluster_id, NO_SEAT, floor.record, floor.guard)
    return replace(recovered, record=floor.record, journal_seq=seq), safety


@dataclass(frozen=True, slots=True)
class Checked:
    """Sentences. `findings` say what is wrong, `expected` what is as an operator's own step left it and needs
    nothing more."""

    findings: list[str]
    expected: list[str]


def check_data(config: NodeConfig) -> Checked:
    """A stopped node's data: without findings it can be started. The caller holds the key's lock. Every page,
    every entry and every journal record is read. Raises StoreForeign, JournalForeign, of which nothing is
    damaged, and StoreFailed."""
    expected: list[str] = []
    findings = verify_files(config.home.data_dir)
    if findings:
        return Checked(findings, expected)  # a damaged page ends the process that opens it
    store = Store.open(config.home.data_dir, map_bytes=config.storage.map_bytes)
    try:
        findings = store.check()
        journal, lost = _open_journal(config, store)
        if lost:
            expected.append(
                f"there is no journal in {config.home.journal_dir}, as after `isthmus db restore`: the node "
                "can be started; it catches up, and signs again only above what its guard reserved"
            )
        try:
            recover(store.reader(), journal.records(), journal.last_seq)
        finally:
            journal.close()
    except JournalForeign:
        raise  # no damage: who moves it away by what `db check` tells of damage loses what a release knows
    except (StorageError, StartupError, LocalError) as error:
        findings.append(str(error))
    finally:
        store.close()
    return Checked(findings, expected)
