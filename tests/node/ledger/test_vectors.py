"""Golden vectors: every signed or hashed encoding of the ledger, byte for byte.

A failure here means that stored chains, receipts and signatures change their meaning. When that is
intended it takes a new version tag, and `python -m tests.node.ledger.test_vectors` writes the file anew.
"""

import json
from pathlib import Path

from consensus import Value
from node.ledger.codes import Code
from node.ledger.receipts import Receipt, hash_writes
from node.ledger.replay import bucket_key, chunk_key, extend_digest, id_key, replay_id
from node.ledger.state import Space
from node.ledger.transactions import Transaction, check_signature
from node.proofs.header import Header
from tests.node.ledger import scenario

VECTORS = Path(__file__).parents[2] / "vectors" / "ledger.json"


def current() -> dict[str, object]:
    """What this software makes of the scenario."""
    world, executions = scenario.run()
    genesis = world.genesis
    return {
        "genesis": {"body": genesis.body.hex(), "cluster_id": genesis.cluster_id.hex()},
        "state_0": {key.hex(): value.hex() for key, value in genesis.initial_state()},
        "headers": [
            {"encoded": header.encoded.hex(), "hash": header.hash.hex()}
            for header in (genesis.genesis_header(), *(execution.header for execution in executions))
        ],
        "transactions": [
            {"encoded": transaction.encoded.hex(), "id": transaction.id.hex()}
            for execution in executions
            for _, transaction in execution.leaves
        ],
        "receipts": [receipt.encoded.hex() for execution in executions for receipt in execution.receipts],
        "skipped": [[*map(list, execution.skipped)] for execution in executions],
        "state_writes": [
            sorted(
                [int(space), key.hex(), None if value is None else value.hex()]
                for space, key, value in execution.state_writes
                if space is not Space.NODES
            )
            for execution in executions
        ],
        "keys": {
            "replay_id": replay_id(bytes(32), bytes(16)).hex(),
            "id": id_key(bytes(16)).hex(),
            "chunk": chunk_key(1, 2).hex(),
            "bucket": bucket_key(3).hex(),
            "bucket_digest": extend_digest(bytes(32), bytes(16)).hex(),
            "writes": hash_writes({b"b": None, b"a": b"1"}).hex(),
        },
    }


def test_every_encoding_is_the_golden_one() -> None:
    golden = json.loads(VECTORS.read_text())
    made = current()
    assert sorted(golden) == sorted(made)
    for what, expected in golden.items():
        assert json.loads(json.dumps(made[what])) == expected, what


def test_the_golden_bytes_decode_to_what_they_say() -> None:
    golden = json.loads(VECTORS.read_text())
    for item in golden["transactions"]:
        transaction = Transaction.decode(bytes.fromhex(item["encoded"]))
        assert transaction.id.hex() == item["id"]
        assert check_signature(transaction)
    parent: str | None = None
    for item in golden["headers"]:
        header = Header.decode(bytes.fromhex(item["encoded"]))
        assert header.hash.hex() == item["hash"]
        assert parent in (None, header.parent_hash.hex())
        parent = item["hash"]


def test_the_scenario_meets_every_outcome_of_execution_by_records() -> None:
    golden = json.loads(VECTORS.read_text())
    found: dict[int, list[Value]] = {}
    for encoded in golden["receipts"]:
        receipt = Receipt.decode(bytes.fromhex(encoded))
        found.setdefault(receipt.status, []).append(receipt.result)
    assert sorted(found) == [
        Code.OK,
        Code.EXPIRY_TOO_FAR,
        Code.UNKNOWN_SENDER,
        Code.UNKNOWN_APP,
        Code.UNKNOWN_METHOD,
        Code.INVALID_ARGUMENTS,
        Code.RECORD_EXISTS,
        Code.RECORD_UNKNOWN,
        Code.NOT_OWNER,
        Code.WRONG_PREVIOUS,
    ]
    assert golden["skipped"][1] == [[3, Code.REPLAYED], [4, Code.EXPIRED]]


if __name__ == "__main__":
    VECTORS.write_text(json.dumps(current(), indent=1) + "\n")
