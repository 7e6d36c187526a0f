"""A fixed run of the ledger that meets every outcome of execution; its bytes are golden.

Run as a module it prints the header hashes, which must not depend on PYTHONHASHSEED.
"""

from hashlib import sha256

from node.ledger.execution import Execution
from node.ledger.policy import Policy
from node.ledger.transactions import Transaction
from tests.node.ledger.world import ALICE, ANNA, BOB, STRANGER, World, make_genesis, put_args

POLICIES = {"records.put": Policy("ANY", ("acme", "bolts"), ("admin", "client"))}


def run() -> tuple[World, list[Execution]]:
    """Four blocks over a genesis with a policy of its own."""
    world = World(make_genesis(POLICIES))
    executions = [world.execute()]
    first = world.put(ALICE, "acme/a", b"one")
    calls: list[Transaction] = [
        first,
        world.put(BOB, "acme/a"),
        world.put(STRANGER, "acme/s"),
        first,
        world.sign(ALICE, "put", put_args("acme/late"), expires_at_ms=world.now_ms + 1),
        world.sign(ALICE, "put", put_args("acme/far"), expires_at_ms=world.now_ms + 700_000),
        world.sign(ALICE, "put", put_args("plain")),
        world.sign(ALICE, "put", ("acme/short",)),
        world.sign(ALICE, "putt", ()),
        world.sign(ALICE, "put", (), app="recorsd"),
        world.supersede(ALICE, "acme/none", 1, b"two"),
    ]
    executions.append(world.execute(*calls))
    executions.append(
        world.execute(
            world.supersede(BOB, "acme/a", 1, b"two"),
            world.supersede(ANNA, "acme/a", 2, b"two"),
            world.supersede(ANNA, "acme/a", sha256(b"one").digest(), b"two"),
            world.put(BOB, "bolts/b"),
        )
    )
    executions.append(world.execute(after_ms=700_000))
    return world, executions


if __name__ == "__main__":
    for execution in run()[1]:
        print(execution.header_hash.hex())
