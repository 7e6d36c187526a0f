"""The demo: a real cluster, real data, and every promise tried out, in under a minute.

It publishes an inventory of files, reads it back from another node with proofs checked here, compares it
with the disk, changes a copy of one file to see that it is caught, exports a proof and has it checked
offline by another process. Whatever does not hold ends it with a sentence: nothing is shown that was not
just done.
"""

import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import trio

from consensus import SigningKey
from node.client import AsyncClient, Wallet
from node.home import read_key
from node.ledger.transactions import Transaction
from node.local.cluster import open_cluster, wait_ready
from node.local.inventory import (
    FileEntry,
    InventoryRecord,
    Package,
    differing_files,
    folder_package,
    installed_packages,
    records_of,
)
from node.local.ports import free_ports
from node.local.supervisor import ProgramDied
from node.local.testnet import MANIFEST, LocalNode, Testnet, write_testnet

NODES = 4
LONE_TRANSACTIONS = 15
"""Sent one after the other on the idle cluster, for the latency that a single user sees."""
READERS = 4
_PUBLISH_TIMEOUT_MS = 60_000
_BATCH = 250
_HANDY_BYTES = 1024 * 1024


class DemoFailed(Exception):
    """A promise did not hold; `str()` says which, and where to look."""


class Narrator(Protocol):
    """Who tells people what happens; `stage` gives a function that counts progress up to `total`."""

    def stage(self, title: str, total: int | None = None) -> AbstractContextManager[Callable[[int], None]]:
        """One step of the demo, as a context."""

    def say(self, text: str) -> None:
        """One remark."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was done and measured; durations in seconds, latencies in milliseconds."""

    source: str
    directory: Path
    cluster_id: bytes
    urls: tuple[str, ...]
    packages: int
    files: int
    bytes: int
    records: int
    lone_ms: float
    publish_s: float
    reader: str
    read_s: float
    tampered_file: str
    bundle: Path
    bundle_bytes: int
    not_checked: tuple[str, ...]
    total_s: float

    @property
    def records_per_s(self) -> float:
        """Certified records a second, from the first submission to the last receipt."""
        return self.records / self.publish_s


async def run_demo(directory: Path, data: Path | None, narrator: Narrator) -> Report:
    """All of it, in a fresh cluster below `directory`. Raises DemoFailed, InventoryError, ClientError."""
    started = time.monotonic()
    with narrator.stage("Taking the inventory"):
        packages = await trio.to_thread.run_sync(lambda: _inventory(data))
        records = records_of(packages, "software" if data is None else "data")
    testnet = _fresh_testnet(directory)
    async with open_cluster(testnet, _fail) as supervisor:
        with narrator.stage(f"Starting {NODES} validators"):
            await wait_ready(testnet)
        for node in testnet.nodes:
            narrator.say(f"  {node.name}  {node.url}  process {supervisor.process(node.name).pid}")
        publisher, reader = testnet.nodes[0], testnet.nodes[-1]
        lone_ms = await _measure_alone(testnet, publisher)
        publish_s, height = await _publish(testnet, publisher, records, narrator)
        read_s = await _read_back(testnet, reader, records, height, narrator)
        tampered = await _tamper(testnet, reader, records, narrator)
        bundle, verdict = await _prove(testnet, reader, records, narrator)
        with narrator.stage("Stopping all nodes"):
            killed = await supervisor.stop()
        if killed:
            raise DemoFailed(f"{', '.join(killed)} did not stop when asked and had to be killed")
    files = [file for record in records for file in record.files]
    return Report(
        source="the software installed here" if data is None else str(data),
        directory=directory,
        cluster_id=testnet.cluster_id,
        urls=tuple(node.url for node in testnet.nodes),
        packages=len(packages),
        files=len(files),
        bytes=sum(file.size for file in files),
        records=len(records),
        lone_ms=lone_ms,
        publish_s=publish_s,
        reader=reader.name,
        read_s=read_s,
        tampered_file=tampered.name,
        bundle=bundle,
        bundle_bytes=bundle.stat().st_size,
        not_checked=tuple(verdict["not_checked"]),
        total_s=time.monotonic() - started,
    )


def _inventory(data: Path | None) -> tuple[Package, ...]:
    return installed_packages() if data is None else (folder_package(data),)


def _fresh_testnet(directory: Path) -> Testnet:
    """A new cluster; the folder of an earlier demo is removed, anything else is left alone."""
    if (directory / MANIFEST).exists():
        shutil.rmtree(directory)
    return write_testnet(directory, "demo", free_ports(NODES), time.time_ns() // 1_000_000, os.urandom)


def _fail(death: ProgramDied) -> None:
    raise death


def _wallet(testnet: Testnet) -> Wallet:
    return Wallet(SigningKey(read_key(testnet.client_key_file)), testnet.cluster_id)


async def _measure_alone(testnet: Testnet, publisher: LocalNode) -> float:
    """The median time from submission to certified receipt of a lone transaction, in milliseconds."""
    wallet = _wallet(testnet)
    content = records_of((Package("latency", "1", "", ()),), "demo")[0].content
    times = []
    async with AsyncClient((publisher.url,), trust=testnet.cluster_id) as client:
        for number in range(LONE_TRANSACTIONS):
            transaction = wallet.put(f"demo/latency-{number}", content)
            started = time.monotonic()
            receipt = await client.submit(transaction)
            times.append(1000 * (time.monotonic() - started))
            if not receipt.ok:
                raise DemoFailed(f"a lone transaction failed: {receipt.explanation}")
    return statistics.median(times)


async def _publish(
    testnet: Testnet, publisher: LocalNode, records: Sequence[InventoryRecord], narrator: Narrator
) -> tuple[float, int]:
    """Send every record and wait for all certified receipts: (seconds it took, height of the last)."""
    wallet = _wallet(testnet)
    with narrator.stage(f"Publishing to {publisher.name}", len(records)) as advance:
        async with AsyncClient((publisher.url,), trust=testnet.cluster_id, timeout_ms=30_000) as client:
            started = time.monotonic()
            outcomes = await client.submit_many(
                _signed(wallet, records),
                batch=_BATCH,
                timeout_ms=_PUBLISH_TIMEOUT_MS,
                on_outcomes=lambda done: advance(len(done)),
            )
            seconds = time.monotonic() - started
    for record, outcome in zip(records, outcomes, strict=True):
        if outcome.state != "certified" or outcome.code != 0:
            raise DemoFailed(f"{record.record_id} was not certified: {outcome.state}, {outcome.message}")
    return seconds, max(outcome.height or 0 for outcome in outcomes)


def _signed(wallet: Wallet, records: Sequence[InventoryRecord]) -> Iterator[Transaction]:
    return (wallet.put(record.record_id, record.content) for record in records)


async def _read_back(
    testnet: Testnet, reader: LocalNode, records: Sequence[InventoryRecord], height: int, narrator: Narrator
) -> float:
    """Read every record from another node, proofs checked here, and compare its files with the disk.

    `height` is the last receipt's: the other node may be behind the one that we published to.
    """
    started = time.monotonic()
    with narrator.stage(f"Reading back from {reader.name}, verifying", len(records)) as advance:
        todo = iter(records)
        async with AsyncClient((reader.url,), trust=testnet.cluster_id) as client:

            async def work() -> None:
                for record in todo:
                    await _check(client, record, height)
                    advance(1)

            async with trio.open_nursery() as nursery:
                for _ in range(READERS):
                    nursery.start_soon(work)
    return time.monotonic() - started


async def _check(client: AsyncClient, record: InventoryRecord, height: int) -> None:
    version = await client.record(record.record_id, min_height=height, verify=True)
    if version.entry is None or version.entry.content != record.content:
        raise DemoFailed(f"the record {record.record_id} is not what was published")
    differing = await trio.to_thread.run_sync(differing_files, version.entry.content, record.files)
    if differing:
        names = ", ".join(file.name for file in differing)
        raise DemoFailed(f"on disk, but not as {record.record_id} says: {names}; was it changed meanwhile?")


async def _tamper(
    testnet: Testnet, reader: LocalNode, records: Sequence[InventoryRecord], narrator: Narrator
) -> FileEntry:
    """Change one byte in a copy of one file: the ledger's record must tell the copy from the original."""
    with narrator.stage("Changing one byte in a copy of one file"):
        record, original = _example(records)
        copy = testnet.directory / "tampered" / original.place.name
        await trio.to_thread.run_sync(_copy_and_change, original.place, copy)
        async with AsyncClient((reader.url,), trust=testnet.cluster_id) as client:
            version = await client.record(record.record_id, verify=True)
        if version.entry is None:
            raise DemoFailed(f"the record {record.record_id} is gone")
        changed = FileEntry(original.name, original.sha256, original.size, copy)
        files = tuple(changed if file is original else file for file in record.files)
        if await trio.to_thread.run_sync(differing_files, version.entry.content, files) != (changed,):
            raise DemoFailed(f"the changed copy {copy} was NOT caught")
    return changed


def _example(records: Sequence[InventoryRecord]) -> tuple[InventoryRecord, FileEntry]:
    """A file to show, and its record: not huge, inside its package, and readable source if there is any."""
    candidates = [(record, file) for record in records for file in record.files]
    handy = [pair for pair in candidates if pair[1].size <= _HANDY_BYTES and ".." not in pair[1].name]
    return max(handy or candidates, key=lambda pair: (pair[1].name.endswith(".py"), pair[1].size))


def _copy_and_change(original: Path, copy: Path) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(original, copy)
    with copy.open("r+b") as file:
        first = file.read(1)
        file.seek(0)
        file.write(bytes((first[0] ^ 1,)) if first else b"!")


async def _prove(
    testnet: Testnet, reader: LocalNode, records: Sequence[InventoryRecord], narrator: Narrator
) -> tuple[Path, dict[str, list[str]]]:
    """Export a proof and have another process check it offline; one flipped bit must be refused."""
    with narrator.stage("Exporting a proof and checking it offline"):
        bundle = testnet.directory / "record.bundle"
        async with AsyncClient((reader.url,), trust=testnet.cluster_id) as client:
            content = await client.prove_record(records[-1].record_id)
        bundle.write_bytes(content)
        code, verdict = await _verify(bundle, testnet.cluster_id)
        if code != 0:
            raise DemoFailed(f"the exported proof {bundle} was refused: {verdict.get('reason')}")
        damaged = testnet.directory / "damaged.bundle"
        middle = len(content) // 2
        damaged.write_bytes(content[:middle] + bytes((content[middle] ^ 1,)) + content[middle + 1 :])
        code, _ = await _verify(damaged, testnet.cluster_id)
        if code != 1:
            raise DemoFailed(f"the damaged proof {damaged} was NOT refused (exit code {code})")
    return bundle, verdict


async def _verify(bundle: Path, trust: bytes) -> tuple[int, dict[str, list[str]]]:
    """`isthmus verify` in a process of its own: (exit code, its JSON answer)."""
    command = (sys.executable, "-m", "node.cli.main", "verify", str(bundle), "--trust", trust.hex(), "--json")
    done = await trio.run_process(command, capture_stdout=True, check=False)
    try:
        answer: dict[str, list[str]] = json.loads(done.stdout)
    except ValueError as error:
        raise DemoFailed(f"`isthmus verify` gave no answer (exit code {done.returncode})") from error
    return done.returncode, answer
