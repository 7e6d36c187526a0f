"""The federation that is measured: fresh local clusters that admit each other, and members who may send."""

import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from consensus import SigningKey
from node.cli.failures import root_of
from node.client import ClientError
from node.home import SEED_BYTES
from node.ledger.members import Member
from node.local.federation import LocalFederation, free_federation_ports, make_ready
from node.local.supervisor import ProgramDied, Supervisor, open_supervisor
from node.local.testnet import Testnet, write_testnet

_NAMES = "abcdefgh"
CLUSTERS_MAX = len(_NAMES)
READY_SECONDS = 240


class GroundError(Exception):
    """There is nothing to measure, as a sentence."""


@dataclass(slots=True)
class Ground:
    """Running clusters that have admitted each other; `seeds` are keys of members of the first one."""

    local: LocalFederation
    seeds: tuple[bytes, ...]
    supervisor: Supervisor
    deaths: list[ProgramDied] = field(default_factory=list)
    """Of daemons that ended although nobody killed them."""

    def urls(self) -> dict[str, str]:
        """Where every node answers, by `cluster/node`."""
        return {
            f"{testnet.name}/{node.name}": node.url
            for testnet in self.local.testnets
            for node in testnet.nodes
        }

    def pids(self) -> dict[str, int]:
        """The daemons that run, by the same names."""
        return {name: self.supervisor.process(name).pid for name in self.supervisor.running()}

    def nodes_of(self, testnet: Testnet) -> tuple[str, ...]:
        """The names of one cluster's daemons."""
        return tuple(f"{testnet.name}/{node.name}" for node in testnet.nodes)


@asynccontextmanager
async def open_federation(directory: Path, clusters: int, nodes: int, members: int) -> AsyncIterator[Ground]:
    """New clusters in an empty folder, all ready and admitted. Raises GroundError, OSError."""
    seeds = tuple(os.urandom(SEED_BYTES) for _ in range(members))
    local = write(directory, clusters, nodes, seeds)
    deaths: list[ProgramDied] = []
    becoming = trio.CancelScope()

    def tell(death: ProgramDied) -> None:
        deaths.append(death)
        becoming.cancel()

    async with open_supervisor(tell) as supervisor:
        for program in local.programs():
            await supervisor.start(program)
        try:
            is_ready = False
            becoming.deadline = trio.current_time() + READY_SECONDS
            with becoming:
                await make_ready(local)
                is_ready = True
        except* ClientError as errors:
            raise GroundError(f"the clusters did not become ready: {root_of(errors)}") from errors
        if not is_ready:
            reason = deaths[0] if deaths else f"not within {READY_SECONDS} s"
            raise GroundError(f"the clusters did not become ready: {reason}")
        yield Ground(local, seeds, supervisor, deaths)


def write(directory: Path, clusters: int, nodes: int, seeds: Sequence[bytes]) -> LocalFederation:
    """The clusters on disk; members with these keys may publish in each."""
    now_ms = time.time_ns() // 1_000_000
    members = [
        Member(SigningKey(seed).public_key, "org0", ("client",), f"bench-{number}")
        for number, seed in enumerate(seeds)
    ]
    return LocalFederation(
        directory,
        tuple(
            write_testnet(
                directory / letter,
                f"bench.{letter}",
                ports,
                now_ms,
                os.urandom,
                members=members,
            )
            for letter, ports in zip(_NAMES, free_federation_ports(clusters, nodes), strict=False)
        ),
    )
