"""A cluster whose operators govern: proposals, approvals and proofs in one line each, and a joining node."""

from consensus import Digest, Epoch, SigningKey, Value
from node.genesis import Genesis
from node.ledger.codes import Code
from node.ledger.execution import BlockToExecute, Execution
from node.ledger.governance.changes import AddValidator, Change
from node.ledger.governance.proposals import Proposal, proposal_key, ready_digest
from node.ledger.params import Params
from node.ledger.receipts import Receipt
from node.ledger.roster import ValidatorRecord
from node.ledger.state import Space
from node.ledger.transactions import Transaction
from tests.node.ledger.world import CREATED_MS, MEMBERS, World, block_id, key_of


def operator(number: int) -> SigningKey:
    """The key that governs for validator v<number>."""
    return key_of(f"operator {number}")


def consensus(number: int) -> SigningKey:
    """The key that validator v<number> signs headers with."""
    return key_of(f"consensus {number}")


def record(number: int, weight: int = 1) -> ValidatorRecord:
    """Validator v<number>."""
    return ValidatorRecord(
        f"v{number}",
        "acme" if number < 2 else "bolts",
        consensus(number).public_key,
        key_of(f"node {number}").public_key,
        weight,
        operator(number).public_key,
    )


def genesis_of(*weights: int) -> Genesis:
    """A cluster of validators with these weights."""
    validators = [record(number, weight) for number, weight in enumerate(weights)]
    return Genesis.new("governed", Params(created_ms=CREATED_MS), validators, MEMBERS)


class Parliament(World):
    """A world that goes on into later epochs and knows governance."""

    def __init__(self, *weights: int) -> None:
        super().__init__(genesis_of(*(weights or (1, 1, 1, 1))))
        self.hashes: dict[int, Digest] = {0: self.ledger.tip.header_hash}

    def block(self, *transactions: Transaction, after_ms: int = 1_000) -> BlockToExecute:
        height = self.ledger.tip.height + 1
        time_ms = self.now_ms + after_ms
        return BlockToExecute(height, block_id(height), self.ledger.epoch, time_ms, transactions)

    def call(self, key: SigningKey, method: str, *args: Value, after_ms: int = 1_000) -> Receipt:
        """One governance transaction alone in its block; its receipt."""
        return self.run(self.sign(key, method, args, app="governance"), after_ms=after_ms).receipts[0]

    def run(self, *transactions: Transaction, after_ms: int = 1_000) -> Execution:
        """A block of these; transactions are signed to live until then."""
        return self.execute(*transactions, after_ms=after_ms)

    def skip(self, time_ms: int) -> None:
        """Let cluster time pass, in an empty block."""
        self.execute(after_ms=time_ms)

    def signed_propose(self, key: SigningKey, *changes: Change, sweeping: bool = False) -> Transaction:
        """A transaction that proposes."""
        values = tuple(change.to_value() for change in changes)
        return self.sign(key, "propose", (values, int(sweeping)), app="governance")

    def propose(self, key: SigningKey, *changes: Change, sweeping: bool = False) -> Digest:
        """Propose, which must work; the proposal's id."""
        (receipt,) = self.run(self.signed_propose(key, *changes, sweeping=sweeping)).receipts
        assert receipt.status == Code.OK, receipt.explanation
        result = receipt.result
        assert type(result) is tuple
        assert type(result[0]) is bytes
        return Digest(result[0])

    def refused(self, key: SigningKey, *changes: Change, sweeping: bool = False) -> Code:
        """Propose, which must fail; why."""
        (receipt,) = self.run(self.signed_propose(key, *changes, sweeping=sweeping)).receipts
        return Code(receipt.status)

    def approve(self, proposal_id: Digest, *numbers: int) -> Receipt:
        """Operators of these validators approve, a block each; the last receipt."""
        receipts = [self.call(operator(number), "approve", proposal_id) for number in numbers]
        return receipts[-1]

    def proof(self, proposal_id: Digest, key: SigningKey, behind: int = 0) -> tuple[Value, ...]:
        """The arguments of `ready`: `key` has the header `behind` heights below the tip."""
        height = self.ledger.tip.height - behind
        header_hash = self.hashes[height]
        signed = ready_digest(self.genesis.cluster_id, proposal_id, height, header_hash)
        return (proposal_id, key.public_key, height, header_hash, key.sign(signed))

    def execute(self, *transactions: Transaction, after_ms: int = 1_000, flush: bool = True) -> Execution:
        execution = super().execute(*transactions, after_ms=after_ms, flush=flush)
        self.hashes[execution.header.height] = execution.header_hash
        return execution

    def ready(self, proposal_id: Digest, number: int, behind: int = 0) -> Receipt:
        """The node of validator v<number> proves that it is synced; v0's operator sends it."""
        return self.call(operator(0), "ready", *self.proof(proposal_id, consensus(number), behind))

    def stored(self, proposal_id: Digest) -> Proposal | None:
        """The proposal as it is stored."""
        leaf = self.store.get(Space.STATE, proposal_key(proposal_id))
        return None if leaf is None else Proposal.decode(leaf)

    @property
    def names(self) -> list[str]:
        """The validators of the epoch that the next block must have."""
        return [validator.name for validator in self.ledger.roster.validators]

    @property
    def epoch(self) -> Epoch:
        """The epoch that the next block must have."""
        return self.ledger.epoch


def joining(number: int, weight: int = 1) -> AddValidator:
    """Validator v<number> joins."""
    return AddValidator(record(number, weight))


def was_executed(receipt: Receipt) -> bool:
    """Whether a transaction of governance executed its proposal."""
    return receipt.ok and type(receipt.result) is tuple and receipt.result[1] == 1
