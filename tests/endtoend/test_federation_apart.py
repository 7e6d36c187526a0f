"""Two clusters on hosts of their own (network namespaces) federate by what a person types, and nothing else.

alpha can be dialled. beta listens on its host's loopback alone: it cannot be dialled from anywhere, dials
out, and takes part over the same links. Both know of each other what an invitation says.
"""

import ctypes
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio

from node.api.federation_talk import explanation_of, federation
from node.client import Client, ClientError
from node.ledger.codes import Code
from node.local.testnet import write_testnet
from tests.endtoend.running import RunningCluster, ports_of_our_own
from tests.endtoend.talk import PATIENCE_SECONDS, new_record, wallet_of

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="network namespaces need root and iproute2"
)
CLI = (sys.executable, "-m", "node.cli.main")
DEADLINE_MS = 3_600_000
_LOOK_AGAIN_SECONDS = 0.1
_COMMAND_SECONDS = 60
T = TypeVar("T")


def within(namespace: str, work: Callable[..., T], *args: object) -> T:
    """Do something in a namespace, with this thread."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/run/netns/{namespace}") as there, open("/proc/thread-self/ns/net") as here:
        if libc.setns(there.fileno(), 0):
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
        try:
            return work(*args)
        finally:
            libc.setns(here.fileno(), 0)


@dataclass(frozen=True, slots=True)
class Host:
    """A network namespace with an address that the other one reaches, and one cluster of one node in it."""

    namespace: str
    address: str
    cluster: RunningCluster

    @property
    def directory(self) -> Path:
        """The cluster's folder."""
        return self.cluster.testnet.directory

    @property
    def operator(self) -> Path:
        """The key of the one operator: what he proposes takes effect at once."""
        return self.directory / "keys" / "operator-node0.key"

    async def type(self, *arguments: str | Path, code: int = 0) -> Any:
        """`isthmus` as a person on this host runs it; what it answers."""
        ended, answer = await self._type(arguments)
        assert ended == code, f"{arguments}: exit {ended}, {answer}\n{self.cluster.last_words()}"
        return answer

    async def ask(self, conversation: Callable[[Client], T]) -> T:
        """What a client on this host hears, once its node answers."""
        told = ""
        deadline = trio.current_time() + PATIENCE_SECONDS
        while trio.current_time() < deadline:
            try:
                return await trio.to_thread.run_sync(within, self.namespace, self._speak, conversation)
            except ClientError as error:
                told = str(error)
                await trio.sleep(_LOOK_AGAIN_SECONDS)
        raise AssertionError(f"{told}\n{self.cluster.last_words()}")

    def _speak(self, conversation: Callable[[Client], T]) -> T:
        with Client([self.cluster.node("node0").url], trust=self.cluster.testnet.cluster_id) as client:
            return conversation(client)

    async def _type(self, arguments: tuple[str | Path, ...]) -> tuple[int, Any]:
        command = ("ip", "netns", "exec", self.namespace, *CLI, *map(str, arguments), "--json")
        with trio.fail_after(_COMMAND_SECONDS):
            done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
        is_json = done.stdout.startswith((b"{", b"["))
        return done.returncode, json.loads(done.stdout) if is_json else done.stdout + done.stderr


def ip(*arguments: str) -> None:
    subprocess.run(("ip", *arguments), check=True, capture_output=True, timeout=_COMMAND_SECONDS)


def move_in(directory: Path, name: str, namespace: str, address: str, listen: str) -> Host:
    """A cluster of one node, to be started in a namespace, where it listens for other nodes on `listen`."""
    now_ms = time.time_ns() // 1_000_000
    testnet = write_testnet(directory / name, f"apart.{name}", ports_of_our_own(1), now_ms, os.urandom)
    environment = {"ISTHMUS_P2P__HOST": listen}
    return Host(namespace, address, RunningCluster(testnet, environment, ("ip", "netns", "exec", namespace)))


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Host, Host]]:
    """alpha and beta, started apart, with a cable between their hosts."""
    token = secrets.token_hex(3)
    spaces = (f"isthmus-{token}a", f"isthmus-{token}b")
    made: list[str] = []
    directory = tmp_path_factory.mktemp("apart")
    alpha = move_in(directory, "alpha", spaces[0], "10.211.77.1", "10.211.77.1")
    beta = move_in(directory, "beta", spaces[1], "10.211.77.2", "127.0.0.1")
    try:
        for space in spaces:
            ip("netns", "add", space)
            made.append(space)
        ip(
            "link",
            "add",
            "cable",
            "netns",
            spaces[0],
            "type",
            "veth",
            "peer",
            "name",
            "cable",
            "netns",
            spaces[1],
        )
        for host in (alpha, beta):
            ip("-n", host.namespace, "address", "add", f"{host.address}/30", "dev", "cable")
            ip("-n", host.namespace, "link", "set", "cable", "up")
            ip("-n", host.namespace, "link", "set", "lo", "up")
            host.cluster.start_missing()
        yield alpha, beta
    finally:
        alpha.cluster.close()
        beta.cluster.close()
        for space in made:
            ip("netns", "delete", space)


async def share(source: Host, destination: Host) -> int:
    """A new record, and its share; the message's number."""
    wallet = wallet_of(source.cluster.testnet)
    record_id, put = new_record(wallet)
    until_ms = time.time_ns() // 1_000_000 + DEADLINE_MS
    sent = wallet.sign("records", "share", (record_id, destination.cluster.testnet.cluster_id, until_ms))
    for transaction in (put, sent):
        receipt = await source.ask(lambda client, call=transaction: client.submit(call))  # type: ignore[misc]  # bound at once
        assert receipt.ok, receipt.explanation
    assert type(receipt.result) is int
    return receipt.result


async def acknowledged(source: Host, destination: Host, sequence: int) -> None:
    """Until the source knows that the message arrived."""
    question = explanation_of(destination.cluster.testnet.cluster_id, sequence)
    answer = None
    with trio.move_on_after(PATIENCE_SECONDS):
        while answer is None or answer.result is None:
            await trio.sleep(_LOOK_AGAIN_SECONDS)
            answer = await source.ask(lambda client: client.look(question))
    words = f"{answer}\n{source.cluster.last_words()}\n{destination.cluster.last_words()}"
    assert answer is not None, words
    assert answer.result == "ok", words


async def test_clusters_on_two_hosts_admit_each_other_by_invitation(hosts: tuple[Host, Host]) -> None:
    alpha, beta = hosts
    for host in hosts:
        await host.ask(lambda client: client.wait_ready(1_000 * PATIENCE_SECONDS))
    port = alpha.cluster.node("node0").ports.p2p
    papers = {host.namespace: host.directory / "invitation.json" for host in hosts}
    places = {
        alpha.namespace: ("--address", f"node0={alpha.address}:{port}"),
        beta.namespace: ("--no-addresses",),
    }
    for host, guest in ((alpha, beta), (beta, alpha)):
        told = await guest.type(
            "federation", "invite", "--out", papers[guest.namespace], *places[guest.namespace],
            "--net", guest.directory,
        )  # fmt: skip
        assert told["addresses"] == (guest is alpha)
        joined = await host.type(
            "federation", "join", papers[guest.namespace], "--expect", told["cluster_id"], "--records",
            "--net", host.directory, "--key", host.operator,
        )  # fmt: skip
        assert joined["executed"] is True


async def test_messages_cross_both_ways_although_one_side_cannot_be_dialled(hosts: tuple[Host, Host]) -> None:
    alpha, beta = hosts
    there, back = await share(alpha, beta), await share(beta, alpha)
    await acknowledged(alpha, beta, there)
    await acknowledged(beta, alpha, back)
    listed = await alpha.type("federation", "list", "--net", alpha.directory)
    assert [(held["name"], held["status"]) for held in listed["clusters"]] == [("apart.beta", "active")]


async def test_a_cable_that_is_pulled_and_ctrl_c_on_both_hosts_lose_nothing(hosts: tuple[Host, Host]) -> None:
    alpha, beta = hosts
    ip("-n", alpha.namespace, "link", "set", "cable", "down")
    there, back = await share(alpha, beta), await share(beta, alpha)
    for host in hosts:
        assert host.cluster.stop("node0", signal.SIGINT) == 0
    ip("-n", alpha.namespace, "link", "set", "cable", "up")
    for host in hosts:
        host.cluster.start_missing()
    await acknowledged(alpha, beta, there)
    await acknowledged(beta, alpha, back)


async def test_who_leaves_is_retired_and_hears_no_more(hosts: tuple[Host, Host]) -> None:
    alpha, beta = hosts
    left = await alpha.type(
        "federation", "leave", "apart.beta", "--net", alpha.directory, "--key", alpha.operator
    )
    assert left["executed"] is True
    listed = await alpha.ask(lambda client: client.look(federation(min_height=left["height"])))
    assert [held.status for held in listed.clusters] == ["retired"]
    wallet, beta_id = wallet_of(alpha.cluster.testnet), beta.cluster.testnet.cluster_id
    record_id, put = new_record(wallet)
    assert (await alpha.ask(lambda client: client.submit(put))).ok
    until_ms = time.time_ns() // 1_000_000 + DEADLINE_MS
    sent = wallet.sign("records", "share", (record_id, beta_id, until_ms))
    receipt = await alpha.ask(lambda client: client.submit(sent))
    assert not receipt.ok
    assert receipt.status == Code.CLUSTER_NOT_ACTIVE
