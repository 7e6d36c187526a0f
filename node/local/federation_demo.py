"""The newcomer's second act: three clusters that admit each other, and what passes between them, with proofs.

A record is put in A and shared with B and C. Each share is delivered and acknowledged; both bundles verify
offline, in another process, against the header of A that the reading cluster has anchored itself. What
does not hold ends the demo with a sentence: nothing is shown that was not just done.
"""

import hashlib
import json
import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from consensus import SigningKey
from node.api.federation_queries import ClusterAnswer
from node.api.federation_talk import explanation_of, federation
from node.client import AsyncClient, Wallet
from node.home import read_key
from node.ledger.apps.records import NAME as RECORDS
from node.ledger.apps.records import Content
from node.ledger.receipts import Receipt
from node.local.demo import DemoFailed, Narrator
from node.local.federation import (
    MANIFEST,
    LocalFederation,
    client_of,
    free_federation_ports,
    make_ready,
    write_federation,
)
from node.local.supervisor import ProgramDied, open_supervisor
from node.local.testnet import Testnet

CLUSTERS = 3
RECORD_ID = "demo/greeting"
CONTENT = b"A record of one cluster, read in another.\n"
DEADLINE_MS = 600_000
ACKNOWLEDGED_SECONDS = 120
_LOOK_AGAIN_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Proven:
    """A file that was verified offline at the header of its cluster that another one has anchored."""

    bundle: Path
    bundle_bytes: int
    trust: bytes
    checkpoint: str
    reader: str


@dataclass(frozen=True, slots=True)
class FederationReport:
    """What was done; durations in seconds."""

    directory: Path
    clusters: tuple[str, ...]
    nodes: int
    ready_s: float
    delivered_s: tuple[float, ...]
    """From handing in a share to its acknowledgement, one for each destination."""
    record: Proven
    message: Proven
    not_checked: tuple[str, ...]
    total_s: float


async def run_federation_demo(directory: Path, nodes: int, narrator: Narrator) -> FederationReport:
    """All of it, in fresh clusters below `directory`. Raises DemoFailed, ClientError, TestnetError."""
    started = time.monotonic()
    local = _fresh(directory, nodes)
    source, second, third = local.testnets
    async with open_supervisor(_fail) as supervisor:
        with narrator.stage(f"Starting {CLUSTERS} clusters of {nodes}; each admits the others"):
            for program in local.programs():
                await supervisor.start(program)
            await make_ready(local)
        ready_s = time.monotonic() - started
        async with client_of(source) as client:
            with narrator.stage(f"Putting {RECORD_ID} in {source.name}"):
                put = await _put(client, source)
            shares, delivered = [], []
            for peer in (second, third):
                with narrator.stage(f"Sharing it with {peer.name}, until the acknowledgement is proven"):
                    share, seconds = await _share(client, source, peer)
                shares.append(share)
                delivered.append(seconds)
        with narrator.stage(f"Reading the record in {third.name}, at the header that it anchored itself"):
            record, _ = await _prove(local, source, third, put, "record.bundle")
        with narrator.stage(f"Exporting the message to {second.name} and checking it offline"):
            message, verdict = await _prove(local, source, second, shares[0], "message.bundle")
        with narrator.stage("Stopping all nodes"):
            killed = await supervisor.stop()
        if killed:
            raise DemoFailed(f"{', '.join(killed)} did not stop when asked and had to be killed")
    return FederationReport(
        directory=directory,
        clusters=tuple(testnet.name for testnet in local.testnets),
        nodes=nodes,
        ready_s=ready_s,
        delivered_s=tuple(delivered),
        record=record,
        message=message,
        not_checked=tuple(verdict["not_checked"]),
        total_s=time.monotonic() - started,
    )


def _fresh(directory: Path, nodes: int) -> LocalFederation:
    """New clusters; the folder of an earlier demo is removed, anything else is left alone."""
    if (directory / MANIFEST).exists():
        shutil.rmtree(directory)
    ports = free_federation_ports(CLUSTERS, nodes)
    return write_federation(directory, ports, time.time_ns() // 1_000_000, os.urandom)


def _fail(death: ProgramDied) -> None:
    raise death


def _wallet(testnet: Testnet) -> Wallet:
    return Wallet(SigningKey(read_key(testnet.client_key_file)), testnet.cluster_id)


async def _put(client: AsyncClient, source: Testnet) -> Receipt:
    content = Content(hashlib.sha256(CONTENT).digest(), len(CONTENT), "text/plain", "", (), ())
    return _good(await client.submit(_wallet(source).put(RECORD_ID, content)), "the record was not put")


async def _share(client: AsyncClient, source: Testnet, peer: Testnet) -> tuple[Receipt, float]:
    """The share's receipt once its acknowledgement is proven here, and the seconds that took."""
    started = time.monotonic()
    deadline_ms = time.time_ns() // 1_000_000 + DEADLINE_MS
    call = _wallet(source).sign(RECORDS, "share", (RECORD_ID, peer.cluster_id, deadline_ms))
    receipt = _good(await client.submit(call), f"{peer.name} was sent nothing")
    if not isinstance(receipt.result, int):
        raise DemoFailed(f"the share with {peer.name} has no sequence but {receipt.result!r}")
    question = explanation_of(peer.cluster_id, receipt.result, min_height=receipt.height)
    step = "nothing yet"
    with trio.move_on_after(ACKNOWLEDGED_SECONDS):
        while True:
            answer = await client.look(question)
            step = answer.step
            if answer.result is not None:
                if answer.result != "ok":
                    raise DemoFailed(f"message {receipt.result} to {peer.name} ended as {answer.result}")
                return receipt, time.monotonic() - started
            await trio.sleep(_LOOK_AGAIN_SECONDS)
    raise DemoFailed(
        f"message {receipt.result} to {peer.name} waits for {step} after {ACKNOWLEDGED_SECONDS} s"
    )


def _good(receipt: Receipt, otherwise: str) -> Receipt:
    if not receipt.ok:
        raise DemoFailed(f"{otherwise}: {receipt.explanation}")
    return receipt


async def _prove(
    local: LocalFederation, source: Testnet, reader: Testnet, receipt: Receipt, file_name: str
) -> tuple[Proven, dict[str, Any]]:
    """A transaction of `source`, verified by another process at the header that `reader` has anchored."""
    async with client_of(reader) as client:
        anchored = _held((await client.look(federation())).clusters, source)
    if anchored.height < receipt.height:
        raise DemoFailed(f"{reader.name} has anchored {anchored.height}, the fact is at {receipt.height}")
    async with client_of(source) as client:
        content = await client.prove_transaction(receipt.tx_id, checkpoint=anchored.height)
    bundle = local.directory / file_name
    bundle.write_bytes(content)
    checkpoint = f"{anchored.height}:{anchored.header_hash.hex()}"
    code, verdict = await _verify(bundle, source.cluster_id, checkpoint)
    if code != 0:
        raise DemoFailed(f"the exported proof {bundle} was refused: {verdict.get('reason')}")
    damaged = local.directory / f"damaged-{file_name}"
    middle = len(content) // 2
    damaged.write_bytes(content[:middle] + bytes((content[middle] ^ 1,)) + content[middle + 1 :])
    code, _ = await _verify(damaged, source.cluster_id, checkpoint)
    if code != 1:
        raise DemoFailed(f"the damaged proof {damaged} was NOT refused (exit code {code})")
    proven = Proven(bundle, len(content), source.cluster_id, checkpoint, reader.name)
    return proven, verdict


def _held(clusters: tuple[ClusterAnswer, ...], source: Testnet) -> ClusterAnswer:
    found = next((each for each in clusters if each.cluster_id == source.cluster_id), None)
    if found is None:
        raise DemoFailed(f"{source.name} was not admitted")
    return found


async def _verify(bundle: Path, trust: bytes, checkpoint: str) -> tuple[int, dict[str, Any]]:
    """`isthmus verify` in a process of its own: (exit code, its answer)."""
    command = [sys.executable, "-m", "node.cli.main", "verify", str(bundle), "--json"]
    done = await trio.run_process(
        [*command, "--trust", trust.hex(), "--checkpoint", checkpoint], capture_stdout=True, check=False
    )
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        raise DemoFailed(f"`isthmus verify` gave no answer (exit code {done.returncode})") from error
    return done.returncode, answer
