"""A key rotation step by step: proposed, approved, in force. Each step sees whether it was done before."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from consensus import PublicKey, SigningKey, Value, as_bytes, as_tuple, decode
from node.api.governance_queries import ValidatorAnswer
from node.cli.access import Access
from node.cli.exits import Exit
from node.cli.failures import Failure
from node.cli.output import Output, program
from node.client import Client, NotReachable
from node.ledger.governance.app import NAME
from node.ledger.governance.changes import RotateKeys, changes_of
from node.ledger.governance.proposals import ready_digest
from node.wallet import Wallet

_LIFETIME_MS = 120_000
_SUBMIT_MS = 30_000
_LOOK_AGAIN_S = 0.3


@dataclass(slots=True)
class Rotation:
    """One rotation under way. `change` names the new key; `joining` is the new consensus key's own hand, None
    for other keys; `is_stored` tells whether the home's database lists the new key already."""

    client: Client
    operator: SigningKey
    output: Output
    change: RotateKeys
    joining: SigningKey | None
    is_stored: Callable[[], bool]
    deadline_s: float
    _told_weight: int = field(init=False, default=-1)
    _silence: NotReachable | None = field(init=False, default=None)

    def carry_through(self) -> None:
        """Propose, or find the proposal again; prove that we are synced; wait until it has been executed and
        its epoch has begun. Nothing of this when the key is in force already. Raises Failure, ClientError."""
        if self._is_in_force():
            return
        proposal_id = self._find() or self._propose()
        self._say(f"proposal {proposal_id.hex()}; every other operator approves it with")
        self._say(f"  {program()} governance approve {proposal_id.hex()} --key OPERATOR.key")
        while not self._sees(lambda: self._is_executed(proposal_id)):
            self._pause()
        while not self._sees(self._is_in_force):
            self._pause()

    def _sees(self, question: Callable[[], bool]) -> bool:
        """The node's answer, or its database's while it does not answer: it has to be stopped for its new key
        anyway, and whoever stops it does not wait for us to have looked once more."""
        try:
            answer = question()
        except NotReachable as silence:
            if self._silence is None:
                self._say("the node does not answer: this goes on as soon as it has stored the new key")
            self._silence = silence
            return self.is_stored()
        self._silence = None
        return answer

    def _is_executed(self, proposal_id: bytes) -> bool:
        answer = self.client.proposal(proposal_id)
        if answer.state == "executed":
            self._say(f"executed at height {answer.executed_height}")
            return True
        if answer.state != "open":
            raise Failure(
                Exit.REFUSED,
                f"the proposal is {answer.state}: it was not approved in time",
                "run the same command again to propose it anew",
            )
        if self.joining is not None and any(not joiner.is_ready for joiner in answer.joiners):
            self._prove_ready(proposal_id, self.joining)
        if answer.approving_weight != self._told_weight:
            self._told_weight = answer.approving_weight
            self._say(
                f"approved by weight {answer.approving_weight} of {answer.total_weight}; "
                "more than two thirds are needed"
            )
        return False

    def _find(self) -> bytes | None:
        for proposal in self.client.governance().proposals:
            if self.change in changes_of(decode(proposal.changes)):
                return proposal.proposal_id
        return None

    def _propose(self) -> bytes:
        result = self._send("propose", ((self.change.to_value(),), 0))
        return as_bytes(as_tuple(result, 5, "result")[0], "proposal")

    def _prove_ready(self, proposal_id: bytes, key: SigningKey) -> None:
        cluster_id = self.client.genesis().cluster_id
        header = self.client.header()
        signature = key.sign(ready_digest(cluster_id, proposal_id, header.height, header.hash))
        self._send("ready", (proposal_id, key.public_key, header.height, header.hash, signature))
        self._say(f"the new consensus key proved that it is synced, at height {header.height}")

    def _is_in_force(self) -> bool:
        answer = self.client.validators()
        record = next((v for v in answer.validators if v.name == self.change.name), None)
        if record is None or not lists(record, self.change):
            return False
        self._say(f"in force in epoch {answer.epoch}")
        return True

    def _pause(self) -> None:
        """Operators take their time: look again in a moment, until the deadline. Raises Failure then, or
        NotReachable if the node is silent."""
        if time.monotonic() > self.deadline_s:
            if self._silence is not None:
                raise self._silence
            raise Failure(
                Exit.TIMEOUT,
                "not enough operators have approved yet",
                "run the same command again: it goes on where it is, with the key it has made",
            )
        time.sleep(_LOOK_AGAIN_S)

    def _send(self, method: str, arguments: tuple[Value, ...]) -> Value:
        wallet = Wallet(self.operator, self.client.genesis().cluster_id, lifetime_ms=_LIFETIME_MS)
        receipt = self.client.submit(wallet.sign(NAME, method, arguments), timeout_ms=_SUBMIT_MS)
        if not receipt.ok:
            raise Failure(
                Exit.REFUSED,
                f"{method} was ordered and failed: {receipt.explanation}",
                "give the operator key of this validator with --key",
            )
        return receipt.result

    def _say(self, text: str) -> None:
        self.output.remark(text)


def lists(record: ValidatorAnswer, change: RotateKeys) -> bool:
    """Whether a validator has the keys of a change."""
    wanted = (
        (change.consensus_key, record.public_key),
        (change.node_key, record.node_key),
        (change.operator_key, record.operator_key),
    )
    return all(new is None or new == listed for new, listed in wanted)


def own_record(client: Client, access: Access, keys: tuple[bytes, ...]) -> ValidatorAnswer:
    """The validator that has one of these keys. Raises Failure."""
    for record in client.validators().validators:
        if {record.public_key, record.node_key, record.operator_key} & set(keys):
            return record
    raise Failure(
        Exit.USAGE,
        f"none of the keys of this home is a validator's, at {access.urls[0]}",
        "name the home of a validator of this cluster with --home",
    )


def changed(name: str, kind: str, key: bytes) -> RotateKeys:
    """The change that gives a validator another key of this kind: consensus, node or operator."""
    new = PublicKey(key)
    return RotateKeys(
        name,
        new if kind == "consensus" else None,
        new if kind == "node" else None,
        new if kind == "operator" else None,
    )
