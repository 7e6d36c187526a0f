"""Homes whose recordings come from a simulated cluster: every start of every validator is one."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from bench.sim.network import Quality
from bench.sim.seams import Parts
from bench.sim.setting import Setting
from bench.sim.world import Pace, World
from consensus import ED25519, PublicKey, SafetyRules
from node.daemon.daemon import software_version
from node.daemon.recorder import Recorder, recordings_dir
from node.genesis import Genesis
from node.home import Home, write_key
from node.storage import Reader
from node.validator import Input, Output, Recovered, Tuning, Validator, assemble
from node.validator.recording import Opening
from tests.node.ledger.world import ALICE, ANNA, BOB, key_of, make_genesis

BYTES_MAX = 256 * 1024 * 1024


class Unrecorded:
    """A validator's own step, when the recorder's has taken its place."""

    def __init__(self, validator: Validator) -> None:
        self._step = validator.step

    def step(self, item: Input, now_ms: int) -> list[Output]:
        """The outputs of one input."""
        return self._step(item, now_ms)


class Recorders:
    """What stands in the place of `assemble`: each validator it makes is recorded in a home of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._all: list[Recorder] = []

    def home(self, index: int) -> Home:
        """The home of a validator."""
        return Home(self.directory / f"node{index}")

    def assemble(
        self,
        genesis: Genesis,
        recovered: Recovered,
        reader: Reader,
        *,
        consensus_key: PublicKey | None,
        safety: SafetyRules | None,
        tuning: Tuning,
        now_ms: int,
        **others: Any,
    ) -> Validator:
        """As `node.validator.assemble`."""
        home = self._made(genesis, consensus_key)
        recorder = Recorder(recordings_dir(home), BYTES_MAX, reader)
        self._all.append(recorder)
        signing = None if safety is None else (safety.record, safety.guard)
        recorder.begin(
            Opening(software_version(), genesis.cluster_id, consensus_key, signing, tuning, now_ms, recovered)
        )
        validator = assemble(
            genesis,
            recovered,
            recorder.reader,
            consensus_key=consensus_key,
            safety=safety,
            tuning=tuning,
            now_ms=now_ms,
            **others,
        )
        recorder.follow(Unrecorded(validator))
        validator.step = recorder.step  # type: ignore[method-assign]  # a world steps the validator itself
        return validator

    def _made(self, genesis: Genesis, key: PublicKey | None) -> Home:
        index = None if key is None else genesis.validator_set().index_of(key)
        home = self.home(9 if index is None else index)
        if not home.keys_dir.exists():
            home.create()
            home.genesis_file.write_text(genesis.to_json(), encoding="utf-8")
            if index is not None:
                write_key(home.validator_key_file, sha256(f"consensus {index}".encode()).digest())
        return home

    def close(self) -> None:
        """The runs end, those that crashed long before too."""
        for recorder in self._all:
            recorder.close()


@contextmanager
def recorders(directory: Path) -> Iterator[Recorders]:
    """Recorders that are closed in the end; what is replayed inside the block is of runs that never ended."""
    made = Recorders(directory)
    try:
        yield made
    finally:
        made.close()


def recorded_world(recorders: Recorders, seed: int = 0, *, loss_percent: int = 0, **params: int) -> World:
    """A world of four recorded validators, not started yet."""
    validators = tuple(key_of(f"consensus {number}") for number in range(4))
    operators = tuple(key_of(f"operator {number}") for number in range(4))
    return World(
        Setting(make_genesis(None, **params), ED25519, validators, (ALICE, ANNA, BOB), operators=operators),
        seed,
        quality=Quality((1_000, 10_000), loss_percent),
        pace=Pace(1_000, 5_000, (1_000, 2_000)),
        parts=Parts(assemble=recorders.assemble),
    )
