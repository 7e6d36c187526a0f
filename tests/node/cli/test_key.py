"""`isthmus key rotate`: a new key is made, proposed, approved, put in place; interrupted, it goes on."""

import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from consensus import GuardRecord, SigningKey, decode, encode
from node.cli.exits import Exit
from node.cli.main import run
from node.cli.output import Output
from node.cli.rotation import Rotation, changed
from node.client import Client, NotReachable
from node.daemon.guardfile import GuardFile
from node.daemon.keylock import KeyLock
from node.daemon.keyswap import KeyKind, draft_of, swap
from node.home import Home, read_key, write_key
from node.local.newnode import NodeSetup, create_keys, write_setup
from node.local.ports import free_ports
from tests.node.api.fake_backend import OPERATOR_KEYS, START_MS, FakeBackend
from tests.node.api.live import Live, serving

NAME = "node-1"
SEEDS = {"node": bytes((12,)) * 32, "validator": bytes((2,)) * 32}


@dataclass
class Workshop:
    """A served node, the home of validator node-1, and everybody's operator keys."""

    backend: FakeBackend
    url: str
    home: Home
    folder: Path

    def operator(self, number: int) -> Path:
        """An operator's key file."""
        return self.folder / f"operator-{number}.key"

    async def run(self, capture: pytest.CaptureFixture[str], *words: object) -> tuple[int, Any]:
        """(exit code, answer) of a command line."""
        line = [*map(str, words), "--url", self.url, "--json"]
        code = await trio.to_thread.run_sync(run, line)
        out = capture.readouterr().out
        return code, json.loads(out[out.index("{\n") :])

    async def rotate(self, capture: pytest.CaptureFixture[str], kind: str) -> tuple[int, Any]:
        """The rotation, approved by two others as soon as it is proposed."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._approve)
            words = ("key", "rotate", kind, "--home", self.home.path, "--key", self.operator(1))
            found = await self.run(capture, *words)
            nursery.cancel_scope.cancel()
        return found

    async def _approve(self) -> None:
        await self.backend.wait_submission()
        for number in (0, 2):
            await trio.to_thread.run_sync(self.approve_one, number)

    def approve_one(self, number: int) -> None:
        with Client([self.url]) as client:
            proposal = client.governance().proposals[0].proposal_id.hex()
        words = ["governance", "approve", proposal, "--key", str(self.operator(number)), "--url", self.url]
        assert run(words) == Exit.OK


def _seed(seeds: Iterator[bytes], _size: int) -> bytes:
    return next(seeds)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake cluster lives in 2023: signatures expire by its clock, not by ours."""
    monkeypatch.setattr("time.time_ns", lambda: START_MS * 1_000_000)


@pytest.fixture
async def workshop(tmp_path: Path) -> AsyncIterator[Workshop]:
    backend = FakeBackend()
    tmp_path.chmod(0o700)
    for number in range(4):
        write_key(tmp_path / f"operator-{number}.key", bytes((21 + number,)) * 32)
    home = Home(tmp_path / "home")
    async with serving(backend) as live:
        (ports,) = free_ports(1)
        create_keys(home, "validator", partial(_seed, iter((SEEDS["node"], SEEDS["validator"]))))
        port = int(live.url.rpartition(":")[2])
        write_setup(home, NodeSetup(NAME, "validator", ports.p2p, port), backend.genesis.to_json())
        yield Workshop(backend, live.url, home, tmp_path)


def retired(folder: Path) -> list[str]:
    return sorted(path.name.split(".")[0] + path.suffix for path in folder.glob("*.retired"))


@pytest.mark.parametrize("kind", ["node", "consensus"])
async def test_a_key_of_the_node_is_replaced_by_governance(
    workshop: Workshop, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    home = workshop.home
    path = home.node_key_file if kind == "node" else home.validator_key_file
    old = read_key(path)
    code, answer = await workshop.rotate(capsys, kind)
    assert (code, answer["kind"]) == (Exit.OK, kind)
    new = read_key(path)
    assert new != old
    assert not draft_of(path).exists()
    assert [read_key(p) for p in home.keys_dir.glob(f"{path.name}.*.retired")] == [old]
    with Client([workshop.url]) as client:
        answered = await trio.to_thread.run_sync(client.validators)
    record = next(v for v in answered.validators if v.name == NAME)
    listed = record.node_key if kind == "node" else record.public_key
    assert listed == SigningKey(new).public_key == bytes.fromhex(answer["key"])
    assert len(retired(home.keys_dir)) == (1 if kind == "node" else 2)


async def test_an_operator_key_is_replaced_where_it_lies(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    old = read_key(workshop.operator(1))
    code, answer = await workshop.rotate(capsys, "operator")
    assert code == Exit.OK
    new = read_key(workshop.operator(1))
    assert SigningKey(new).public_key.hex() == answer["key"]
    assert new != old
    assert len(list(workshop.folder.glob("operator-1.key.*.retired"))) == 1


async def test_without_enough_approvals_it_says_how_to_go_on_and_does(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("key", "rotate", "node", "--home", workshop.home.path, "--key", workshop.operator(1))
    code, answer = await workshop.run(capsys, *words, "--timeout", 1)
    assert (code, answer["error"]["code"]) == (Exit.TIMEOUT, "timeout")
    draft = read_key(draft_of(workshop.home.node_key_file))
    assert read_key(workshop.home.node_key_file) == SEEDS["node"]
    for number in (0, 2):
        await trio.to_thread.run_sync(workshop.approve_one, number)
    code, answer = await workshop.run(capsys, *words)
    assert code == Exit.OK
    assert read_key(workshop.home.node_key_file) == draft, "the key that was approved, not another new one"


async def test_a_running_node_is_told_to_stop_and_keeps_its_key_until_then(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = KeyLock.acquire(workshop.home.keys_dir)
    words = ("key", "rotate", "node", "--home", workshop.home.path, "--key", workshop.operator(1))
    assert (await workshop.run(capsys, *words, "--timeout", 1))[0] == Exit.TIMEOUT
    for number in (0, 2):
        await trio.to_thread.run_sync(workshop.approve_one, number)
    code, answer = await workshop.run(capsys, *words, "--timeout", 1)
    assert code == Exit.TIMEOUT
    assert "stop the node" in answer["error"]["hint"]
    assert read_key(workshop.home.node_key_file) == SEEDS["node"]
    lock.release()
    assert (await workshop.run(capsys, *words))[0] == Exit.OK
    assert read_key(workshop.home.node_key_file) != SEEDS["node"]


class Cut:
    """A rotation whose node is stopped as soon as it has been proposed, a command of its own in a thread."""

    def __init__(self, live: Live, backend: FakeBackend, looks: int, seconds: float) -> None:
        """`looks`: how often the database is looked at before it lists the new key."""
        self.live, self.backend, self.looks = live, backend, looks
        self.client = Client([live.url], timeout_ms=1_000)
        output = Output(as_json=True)
        change = changed(NAME, "node", SigningKey(b"\x77" * 32).public_key)
        deadline_s = time.monotonic() + seconds
        self.rotation = Rotation(
            self.client, OPERATOR_KEYS[1], output, change, None, self.is_stored, deadline_s
        )

    def is_stored(self) -> bool:
        self.looks -= 1
        return self.looks < 0

    async def stop(self) -> None:
        await self.backend.wait_submission()
        self.live.shutdown.set()

    async def carry_through(self) -> None:
        with self.client:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.stop)
                await trio.to_thread.run_sync(self.rotation.carry_through)


async def test_a_node_that_is_stopped_before_we_looked_once_more_is_seen_in_its_database() -> None:
    backend = FakeBackend()
    async with serving(backend) as live:
        cut = Cut(live, backend, looks=2, seconds=20)
        await cut.carry_through()
    assert cut.looks == -2, "not yet, not yet, executed, in force"


async def test_a_node_that_stays_silent_is_the_reason_when_the_time_is_over() -> None:
    backend = FakeBackend()
    async with serving(backend) as live:
        cut = Cut(live, backend, looks=1_000, seconds=1)
        with pytest.raises(ExceptionGroup) as caught:
            await cut.carry_through()
    assert caught.group_contains(NotReachable)


async def test_a_stranger_and_the_wrong_operator_are_refused_in_words(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    code, answer = await workshop.run(capsys, "key", "rotate", "node", "--key", workshop.operator(1))
    assert code == Exit.USAGE
    assert "--home" in answer["error"]["hint"]
    workshop.home.node_key_file.unlink()
    write_key(workshop.home.node_key_file, b"\x66" * 32)
    workshop.home.validator_key_file.unlink()
    write_key(workshop.home.validator_key_file, b"\x67" * 32)
    words = ("key", "rotate", "node", "--home", workshop.home.path, "--key", workshop.operator(1))
    code, answer = await workshop.run(capsys, *words)
    assert code == Exit.USAGE
    assert "none of the keys of this home is a validator's" in answer["error"]["message"]


def test_a_swap_that_was_interrupted_anywhere_goes_on_and_gives_a_fresh_guard(tmp_path: Path) -> None:
    def home_in(folder: str) -> Home:
        home = Home(tmp_path / folder)
        create_keys(home, "validator", partial(_seed, iter((SEEDS["node"], SEEDS["validator"]))))
        guard = GuardFile.open(home.guard_file)
        guard.store(encode(GuardRecord(9, 0, 0, 64, 0, 64, 63).to_value()))  # type: ignore[arg-type]  # plain numbers
        guard.close()
        write_key(draft_of(home.validator_key_file), b"\x77" * 32)
        return home

    for step in range(3):
        home = home_in(f"home-{step}")
        if step > 0:
            home.validator_key_file.rename(home.keys_dir / "validator.key.1.retired")
        if step > 1:
            home.guard_file.rename(home.keys_dir / "validator.guard.1.retired")
        swap(home, KeyKind.CONSENSUS, 2)
        assert read_key(home.validator_key_file) == b"\x77" * 32
        guard = GuardFile.open(home.guard_file)
        assert GuardRecord.from_value(decode(guard.payload)).boot == 0
        guard.close()
        assert retired(home.keys_dir) == ["validator.retired", "validator.retired"]
