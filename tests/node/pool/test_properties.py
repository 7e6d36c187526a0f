"""A cluster under any order of messages, crashes and dead proposals: nothing committed is lost or done twice.

Agreement here is one list of blocks: a seed picks leaders, lets proposals die, and commits only what a quorum
voted for. Every node checks, commits and executes for itself, at its own pace.
"""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from consensus import Block, CommittedBlock, Digest, Height, Verdict
from node.ledger.transactions import Transaction
from node.pool.batches import Batch, batch_digest
from node.pool.config import PoolConfig
from node.pool.payload import Payload
from tests.node.pool.world import CONFIG, START_MS, Node, World, transaction

SIZES = (8, 8, 8, 20_000)


class Run:
    """One cluster, one seed, and the chain it agreed on."""

    def __init__(self, seed: int, *, crashes: bool, config: PoolConfig = CONFIG, together: int = 1) -> None:
        self.world = World(4, seed=seed, config=config)
        self.together = together
        self.random = self.world.random
        self.crashes = crashes
        self.chain: list[CommittedBlock] = []
        self.round = 0
        self.delivered: dict[int, int] = dict.fromkeys(range(4), 0)
        self.executed: dict[int, list[tuple[int, tuple[Digest, ...]]]] = {i: [] for i in range(4)}
        self.submitted: list[Transaction] = []

    def step(self) -> None:
        """Something happens."""
        kind = self.random.randrange(10)
        if kind < 2:
            self.submit()
        elif kind < 6:
            for _ in range(self.random.randrange(8)):
                if self.world.flying:
                    self.world.deliver_one()
        elif kind < 8:
            self.agree()
        elif kind < 9:
            self.world.pass_time(self.random.choice((1, 10, 60, 2_500)))
        elif self.crashes:
            self.crash(self.world.nodes[self.random.randrange(4)])
        self.learn()

    def submit(self) -> None:
        count = self.together * self.random.randrange(1, 4)
        fresh = [transaction(len(self.submitted) + i, size=self.random.choice(SIZES)) for i in range(count)]
        self.submitted += fresh
        self.world.nodes[self.random.randrange(4)].submit(*fresh)
        self.world.collect()

    def agree(self) -> None:
        """A leader proposes; a quorum of AVAILABLE commits, anything less lets the block die."""
        self.round += 1
        leader = self.world.nodes[self.random.randrange(4)]
        if self.delivered[leader.index] != len(self.chain):
            return
        b = leader.propose(round=self.round, time_ms=START_MS + self.round)
        voters = [
            n for n in self.world.nodes if n is not leader and self.delivered[n.index] == len(self.chain)
        ]
        votes = 1 + sum(self.vote(n, b) for n in voters)
        self.world.collect()
        if votes >= 3 and self.random.randrange(4):
            height = (self.chain[-1].height if self.chain else 0) + int(b.has_payload)
            self.chain.append(CommittedBlock(b, Height(height), b.has_payload))

    def vote(self, n: Node, b: Block) -> bool:
        verdict = n.check(b)
        assert verdict is not Verdict.INVALID, n.verdicts[-1]
        return verdict is Verdict.AVAILABLE

    def learn(self) -> None:
        """Nodes hear of commits at their own pace and execute what is handed over."""
        for n in self.world.nodes:
            if self.random.randrange(2):
                self.catch_up(n)
        self.world.collect()

    def catch_up(self, n: Node) -> None:
        fresh = self.chain[self.delivered[n.index] :]
        if fresh:
            self.delivered[n.index] = len(self.chain)
            n.commit(*fresh)
        self.execute(n)

    def execute(self, n: Node) -> None:
        for ready in n.ready:
            digests = tuple(b.digest for b in ready.batches)
            self.executed[n.index].append((ready.block.block.round, digests))
            n.perform(n.pool.on_executed(ready.block.block.id, n.now_ms))
        n.ready.clear()

    def crash(self, n: Node) -> None:
        """kill -9; committed blocks not executed are told again, as agreement does after `Started`."""
        self.execute(n)
        done = len(self.executed[n.index])
        n.history = [(name, one.block.time_ms) for one in self.chain[:done] for name in names_of(one.block)]
        self.world.flying = [m for m in self.world.flying if n.index not in m[:2]]
        n.restart()
        n.ready.clear()
        self.delivered[n.index] = done
        self.world.connect(n)
        self.catch_up(n)

    def settle(self) -> None:
        """Everybody is well for a while."""
        for _ in range(40):
            self.world.deliver()
            for n in self.world.nodes:
                self.catch_up(n)
            self.world.deliver()
            self.agree()
            self.world.pass_time(600)
        self.world.deliver()
        for n in self.world.nodes:
            self.catch_up(n)
        self.world.deliver()
        for n in self.world.nodes:
            self.execute(n)


def names_of(b: Block) -> list[Digest]:
    """The digests a block orders, in order."""
    payload = Payload.decode(b.payload, CONFIG.payload)
    return [r.digest for r in payload.references] + [batch_digest(body) for body in payload.inline]


def check_run(run: Run) -> None:
    expected = [(one.block.round, tuple(names_of(one.block))) for one in run.chain]
    for n in run.world.nodes:
        assert run.executed[n.index] == expected, n.index
    flat = [name for _, names in expected for name in names]
    assert len(flat) == len(set(flat))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_every_node_executes_the_same_batches_once_in_order(seed: int) -> None:
    run = Run(seed, crashes=False)
    for _ in range(60):
        run.step()
    run.settle()
    check_run(run)
    ordered = {t for one in run.chain for t in transactions_of(run, one)}
    assert {t.encoded for t in run.submitted} == ordered
    assert not any(n.pool.pending() for n in run.world.nodes)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
@example(441_138_280)  # a late answer to a fetch brought back what was executed, and it was proposed again
def test_crashes_lose_nothing_committed_and_repeat_nothing(seed: int) -> None:
    run = Run(seed, crashes=True)
    for _ in range(60):
        run.step()
    run.settle()
    check_run(run)
    assert all(n.penalised == [] for n in run.world.nodes)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_believing_what_others_verified_changes_nothing_of_that(seed: int, crashes: bool) -> None:
    config = replace(CONFIG, verification_certificates=True, attested_transactions_min=2)
    run = Run(seed, crashes=crashes, config=config, together=2)
    for _ in range(60):
        run.step()
    run.settle()
    check_run(run)
    assert all(n.penalised == [] for n in run.world.nodes)
    assert all(0 in limit[1:2] for n in run.world.nodes for limit in n.pool.limits() if "awaited" in limit[0])


def transactions_of(run: Run, one: CommittedBlock) -> list[bytes]:
    """The transactions of a committed block, as a node resolves them from its disk or the block."""
    bodies = list(Payload.decode(one.block.payload, CONFIG.payload).inline)
    for r in Payload.decode(one.block.payload, CONFIG.payload).references:
        bodies.append(next(n.disk[r.digest] for n in run.world.nodes if r.digest in n.disk))
    return [t for body in bodies for t in Batch.decode(body, CONFIG.batch).transactions]


def test_the_same_seed_gives_the_same_chain_whatever_the_hash_seed() -> None:
    program = (
        "from tests.node.pool.test_properties import Run\n"
        "run = Run(148, crashes=True)\n"
        "for _ in range(60): run.step()\n"
        "run.settle()\n"
        "print(run.chain[-1].block.id.hex(), len(run.chain))\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=Path(__file__).parents[3],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
