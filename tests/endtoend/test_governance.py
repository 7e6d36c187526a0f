"""Operators at work on real daemons: a member joins, weights change under way, everything starts again."""

import json
import subprocess
import sys
from typing import Any

import trio

from consensus import SigningKey
from node.home import read_key
from node.ledger.governance.changes import Change, Reweigh, SetMember
from node.ledger.members import Member
from node.ledger.receipts import Receipt
from node.wallet import Wallet
from tests.endtoend.running import RunningCluster
from tests.endtoend.talk import (
    PATIENCE_SECONDS,
    Acknowledged,
    all_agree,
    all_ready,
    client_of,
    new_record,
    put_one,
    status_where,
)


def operator_of(cluster: RunningCluster, name: str) -> Wallet:
    """The operator key that the testnet wrote for a node."""
    path = cluster.testnet.directory / "keys" / f"operator-{name}.key"
    return Wallet(SigningKey(read_key(path)), cluster.testnet.cluster_id)


async def govern(cluster: RunningCluster, name: str, method: str, *args: Any) -> Receipt:
    """A node's operator calls governance at its own node."""
    async with client_of(cluster, name) as client:
        return await client.submit(operator_of(cluster, name).sign("governance", method, args))


async def decide(cluster: RunningCluster, *changes: Change) -> Receipt:
    """node0's operator proposes, node1's and node2's approve; the last receipt."""
    values = tuple(change.to_value() for change in changes)
    receipt = await govern(cluster, "node0", "propose", values, 0)
    assert receipt.ok, receipt.explanation
    assert type(receipt.result) is tuple
    proposal_id = receipt.result[0]
    for name in ("node1", "node2"):
        receipt = await govern(cluster, name, "approve", proposal_id)
        assert receipt.ok, receipt.explanation
    assert type(receipt.result) is tuple
    assert receipt.result[1] == 1, "three of four operators are enough"
    return receipt


async def test_a_member_who_was_admitted_by_governance_may_write(cluster: RunningCluster) -> None:
    await all_ready(cluster)
    newcomer = Wallet(SigningKey(b"\x5a" * 32), cluster.testnet.cluster_id)
    member = Member(newcomer.key.public_key, "newcomers", ("client",), "newcomer")
    record_id, transaction = new_record(newcomer)
    async with client_of(cluster, "node3") as client:
        admitted = await decide(cluster, SetMember(member))
        await status_where(cluster, "node3", lambda status: status.stored_height >= admitted.height)
        assert (await client.header(admitted.height, verify=True)).next_validators_hash is None
        receipt = await client.submit(transaction)
        assert receipt.ok, receipt.explanation
        assert (await client.record(record_id, min_height=receipt.height, verify=True)).is_verified


async def test_new_weights_begin_an_epoch_and_it_survives_a_start_of_all(cluster: RunningCluster) -> None:
    await all_ready(cluster)
    acknowledged = Acknowledged()
    before = await put_one(cluster, acknowledged)
    decided = await decide(cluster, Reweigh("node3", 2))
    after = await put_one(cluster, acknowledged, "node3")
    async with client_of(cluster, "node2") as client:
        roster = await client.validators(min_height=decided.height)
        assert (roster.epoch, roster.total_weight) == (1, 5)
        assert (await client.header(decided.height, verify=True)).next_validators_hash is not None
        for record_id in (before, after):
            found = await client.record(record_id, min_height=acknowledged.height, verify=True)
            assert found.is_verified
        assert (await client.header(verify=True)).epoch == 1
    await all_agree(cluster, acknowledged)  # whoever is asked next has executed it
    assert await listed(cluster) == []
    cluster.kill(*cluster.names)
    cluster.start_missing()
    await all_ready(cluster)
    await put_one(cluster, acknowledged, "node1")
    await all_agree(cluster, acknowledged)


async def listed(cluster: RunningCluster) -> list[object]:
    """`isthmus governance list`."""
    command = (sys.executable, "-m", "node.cli.main", "governance", "list", "--net")
    with trio.fail_after(PATIENCE_SECONDS):
        done = await trio.run_process(
            [*command, str(cluster.testnet.directory), "--json"],
            capture_stdout=True,
            stderr=subprocess.STDOUT,
        )
    answer = json.loads(done.stdout)
    proposals: list[object] = answer["proposals"]
    return proposals
