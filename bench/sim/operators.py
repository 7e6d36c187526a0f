"""The operators of a simulated world: they change its validators by governance, while clients go on (F13,
C4)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.sim.violation import Violation
from consensus import Digest, PublicKey, Value
from node.ledger.governance.changes import Change, brought_keys
from node.ledger.governance.proposals import proposal_id_of, ready_digest
from node.ledger.roster import ROSTER_KEY, Roster
from node.ledger.transactions import Transaction
from node.proofs.header import Header
from node.storage import ChainTable, StateTable
from node.validator.layout import height_key

if TYPE_CHECKING:
    from bench.sim.host import Host
    from bench.sim.world import World


_PROOF_MS = 500
"""Between two proofs of readiness."""


class Operators:
    """Who may speak is read from the state of the host that is asked."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._keys = {key.public_key: key for key in world.setting.operators}

    def roster(self, host: "Host") -> Roster:
        """Who validates, by this host's database."""
        leaf = host.disk.store.reader().get(StateTable.STATE, ROSTER_KEY)
        if leaf is None:
            raise Violation("setting", f"host {host.name} stores no roster")
        return Roster.decode(leaf)

    def sign(self, operator: PublicKey, method: str, *args: Value) -> Transaction:
        """A call of governance by this operator."""
        key = self._keys.get(operator)
        if key is None:
            raise Violation("setting", f"nobody holds operator key {operator.hex()[:12]}")
        return self._world.sign(key, "governance", method, args)

    def propose(self, changes: Sequence[Change], place: int = 0) -> tuple[Transaction, Digest]:
        """The first operator proposes at this host; its transaction, and the proposal's id."""
        first, *_ = self.roster(self._world.hosts[place]).validators
        proposed = tuple(changes)
        values = tuple(change.to_value() for change in proposed)
        transaction = self.sign(first.operator_key, "propose", values, 0)
        self._world.hosts[place].submit(transaction)
        return transaction, proposal_id_of(proposed, False, transaction.id)

    def approve(self, proposal_id: Digest, place: int = 0) -> list[Transaction]:
        """All other operators approve at this host; as many as it takes are executed, the rest are late."""
        _, *others = self.roster(self._world.hosts[place]).validators
        approvals = [self.sign(other.operator_key, "approve", proposal_id) for other in others]
        self._world.hosts[place].submit(*approvals)
        return approvals

    def prove_ready(self, proposal_id: Digest, joining: "Host", place: int = 0) -> Transaction:
        """A joining validator shows that it follows, by the newest header it stores; sent at this host."""
        cluster_id, height = self._world.genesis.cluster_id, joining.height
        header = joining.disk.store.reader().get(ChainTable.HEADERS, height_key(height))
        if header is None:
            raise Violation("setting", f"host {joining.name} does not store the height it shows")
        named = Header.decode(header).hash
        signature = joining.key.sign(ready_digest(cluster_id, proposal_id, height, named))
        first, *_ = self.roster(self._world.hosts[place]).validators
        arguments = (proposal_id, joining.key.public_key, height, named, signature)
        proof = self.sign(first.operator_key, "ready", *arguments)
        self._world.hosts[place].submit(proof)
        return proof

    def decide(self, *changes: Change, place: int = 0, within_ms: int = 20_000) -> int:
        """Propose, approve, and prove readiness of who joins; the epoch that begins once the host at `place`
        has stored the header that ends the one before. Raises Violation when it does not in time."""
        world, host = self._world, self._world.hosts[place]
        epoch = max(self.roster(other).epoch for other in world.hosts)
        if not world.run(within_ms, lambda: self.roster(host).epoch >= epoch):
            raise Violation("liveness", f"host {host.name} is not in epoch {epoch} after {within_ms} ms")
        proposed, proposal_id = self.propose(changes, place)
        if not world.stored([proposed], within_ms, place):
            raise Violation("liveness", f"a proposal is not stored after {within_ms} ms")
        joining = [other for other in world.hosts if other.key.public_key in brought_keys(changes)]
        self.approve(proposal_id, place)
        for _ in range(within_ms // _PROOF_MS):
            for other in joining:  # a proof is of a recent height: who lags proves it again
                self.prove_ready(proposal_id, other, place)
            if world.run(_PROOF_MS, lambda: self.roster(host).epoch > epoch):
                return epoch + 1
        raise Violation("liveness", f"a decision is not carried out after {within_ms} ms")
