"""What the gate of features costs for what nobody signed: no turn of others, and no fault of ours."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio

from consensus import SigningKey
from node.api.backend import Busy, Rejected
from node.api.live import LiveBackend
from node.daemon import featuregate
from node.ledger.codes import Code
from node.validator import Refusal
from node.wallet import Wallet
from tests.node.daemon.running import config_of, running_node, written


async def test_a_strangers_approvals_weigh_nobody_and_leave_others_their_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    testnet = written(tmp_path / "net")
    stranger = Wallet(SigningKey(b"s" * 32), testnet.cluster_id)
    approvals = [
        stranger.sign("governance", "approve", (number.to_bytes(32, "big"),)).encoded for number in range(200)
    ]
    turns, seen = iter(range(10**9)), []

    async def neighbour() -> None:
        while True:
            next(turns)
            await trio.lowlevel.checkpoint()

    async def submit(transactions: Sequence[bytes]) -> tuple[Refusal, ...]:
        seen.append(next(turns))
        return tuple(Refusal(Code.UNKNOWN_SENDER, "") for _ in transactions)

    monkeypatch.setattr(featuregate, "spoken", lambda _node: pytest.fail("weighed for nothing"))
    async with running_node(config_of(testnet)) as node, trio.open_nursery() as nursery:
        backend = LiveBackend(node)
        with monkeypatch.context() as patched:
            patched.setattr(node, "submit", submit)
            nursery.start_soon(neighbour)
            await backend.submit(approvals)
            nursery.cancel_scope.cancel()
        assert seen[0] >= 2, "others had their turn between three slices, whoever of two is woken first"
    assert nursery.cancel_scope.cancelled_caught


async def test_with_no_reader_free_the_client_is_told_to_come_back(tmp_path: Path) -> None:
    testnet = written(tmp_path / "net")
    stranger = Wallet(SigningKey(b"s" * 32), testnet.cluster_id)
    approval = stranger.sign("governance", "approve", (bytes(32),)).encoded
    async with running_node(config_of(testnet)) as node:
        backend = LiveBackend(node)
        (found,) = await backend.submit([approval])
        assert isinstance(found, Rejected)
        assert found.code is Code.UNKNOWN_SENDER
        with ExitStack() as readers:
            for _ in range(node.opened.store.snapshots.limit):
                readers.enter_context(node.opened.store.snapshot())
            with pytest.raises(Busy):
                await backend.submit([approval])
