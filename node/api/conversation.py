"""What a client can say to a cluster, as flows: submit, ask, believe. See `exchange.py` for how they run.

With `trust` (the pinned genesis hash) every proof that is asked for is verified before the answer is
given; without it asking for a proof is refused, because a proof nobody checks is decoration.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from consensus import CodecError, decode
from node.anchoring import cluster_id_of
from node.anchoring.cluster.epochs import LinksFile
from node.api.backend import NodeStatus
from node.api.checking import Ground, check_entry, check_header, check_transaction, epoch_of
from node.api.exchange import (
    TRY_LATER,
    ApiError,
    Ask,
    Cluster,
    Flow,
    NotReachable,
    NotTrusted,
    Pause,
    Reply,
    Send,
    StillPending,
    UnexpectedAnswer,
    hash_path,
    options,
    read_error,
    read_file,
    read_view,
    reasons_of,
    record_path,
    submission,
)
from node.api.federation_talk import Question
from node.api.governance_queries import GovernanceAnswer, ProposalAnswer, ValidatorsAnswer
from node.api.record_queries import HistoryAnswer, RecordAnswer
from node.api.views import (
    BlockAnswer,
    GenesisAnswer,
    Outcome,
    ProvenHeader,
    ReceiptAnswer,
    StateEntry,
    TransactionAnswer,
    status_name,
)
from node.ledger.apps.app import app_prefix
from node.ledger.apps.records import NAME, Entry, current_key, version_key
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.governance.changes import changes_of
from node.ledger.governance.proposals import proposal_id_of
from node.ledger.receipts import Receipt
from node.ledger.transactions import Transaction
from node.proofs import ProofError
from node.proofs.header import Header

T = TypeVar("T")
_WAIT_STEP_MS = 30_000
_AGAIN_MS = 150
_PAGES_MAX = 10_000
_BACK_PRESSURE = (Code.POOL_FULL, Code.QUOTA_EXCEEDED, Code.RATE_LIMITED, Code.NOT_READY)


@dataclass(frozen=True, slots=True)
class RecordVersion:
    """One version of a record as it stood at `height`; `entry` is None where there is no record.

    `is_verified` says that a certificate of the pinned cluster proves it.
    """

    record_id: str
    height: int
    entry: Entry | None
    is_verified: bool


class Conversation:
    """The flows of one client. None of them does IO; all raise ClientError in sentences."""

    def __init__(self, cluster: Cluster, trust: bytes | None) -> None:
        self.cluster = cluster
        self.trust = trust
        self._known_height = 0
        """The highest certified height this client was told of: what it reads next is not older, whichever
        node answers."""
        self._genesis_body: bytes | None = None
        self._links: tuple[int, bytes] | None = None
        """How many epoch links are known, and the file they are in."""

    def submit(self, transaction: Transaction, timeout_ms: int) -> Flow[Receipt]:
        """The certified receipt; look at `receipt.ok`. What busy nodes do not take is sent again until the
        time is over. Raises ApiError, StillPending, NotReachable."""
        deadline = self.cluster.clock() + timeout_ms
        is_taken = False
        while True:
            wait_ms = max(0, min(deadline - self.cluster.clock(), _WAIT_STEP_MS))
            ask = submission((transaction.encoded,), single=True, certified=True, wait_ms=wait_ms)
            reply = yield from self.cluster.ask(ask)
            is_over = self.cluster.clock() >= deadline
            if reply.status < 300:
                outcome, is_taken = read_view(Outcome, reply), True
                if outcome.receipt is not None:
                    return self._known(_receipt(outcome.receipt, transaction.id))
            elif reply.status not in TRY_LATER or (is_over and not is_taken):
                return (yield from self._receipt_after_refusal(transaction.id, reply))
            if is_over:
                raise StillPending(transaction.id, timeout_ms)
            yield Pause(_AGAIN_MS)

    def admit(self, transaction: Transaction) -> Flow[Outcome]:
        """Hand it over without waiting for the certificate. Raises ApiError, NotReachable."""
        ask = submission((transaction.encoded,), single=True, certified=False, wait_ms=0)
        return (yield from self.cluster.get(Outcome, ask))

    def submit_batch(
        self, transactions: Sequence[Transaction], certified: bool, timeout_ms: int
    ) -> Flow[tuple[Outcome, ...]]:
        """One outcome each, in order; those refused for back-pressure and those not certified yet are
        sent again until the time is over (their outcome then says so; one that was refused has no id). Raises
        ApiError, NotReachable."""
        deadline = self.cluster.clock() + timeout_ms
        outcomes: dict[int, Outcome] = {}
        todo = list(range(len(transactions)))
        while todo:
            wait_ms = max(0, min(deadline - self.cluster.clock(), _WAIT_STEP_MS))
            batch = tuple(transactions[position].encoded for position in todo)
            ask = submission(batch, single=False, certified=certified, wait_ms=wait_ms)
            reply = yield from self.cluster.ask(ask)
            is_over = self.cluster.clock() >= deadline
            if reply.status in TRY_LATER and is_over and outcomes:
                break  # nothing was taken this time: what was told before still holds
            if reply.status in TRY_LATER and not is_over:
                yield Pause(_AGAIN_MS)
                continue
            answers = read_view(tuple[Outcome, ...], reply)
            if len(answers) != len(todo):
                raise UnexpectedAnswer(f"{len(answers)} outcomes came for {len(todo)} transactions.")
            for position, outcome in zip(todo, answers, strict=True):
                if outcome.code == Code.REPLAYED:
                    outcome = yield from self._outcome_of_replayed(transactions[position].id, outcome)
                outcomes[position] = outcome
                self._known_height = max(self._known_height, outcome.height or 0)
            todo = [position for position in todo if _is_open(outcomes[position], certified)]
            if todo and self.cluster.clock() >= deadline:
                break
            if todo:
                yield Pause(_AGAIN_MS)
        return tuple(outcomes[position] for position in range(len(transactions)))

    def receipt(self, tx_id: bytes, timeout_ms: int) -> Flow[Receipt]:
        """The receipt of a transaction, waiting for it. Raises ApiError `not-found`, NotReachable."""
        deadline = self.cluster.clock() + timeout_ms
        while True:
            wait_ms = max(0, min(deadline - self.cluster.clock(), _WAIT_STEP_MS))
            query = (("timeout_ms", str(wait_ms)),)
            reply = yield from self.cluster.ask(
                Ask("GET", hash_path("/v1/receipts", tx_id), query, None, wait_ms)
            )
            if reply.status != 404 or self.cluster.clock() >= deadline:
                return self._known(_receipt(read_view(ReceiptAnswer, reply).receipt, tx_id))
            yield Pause(_AGAIN_MS)

    def status(self) -> Flow[NodeStatus]:
        """One look at the node that answers."""
        return (yield from self.cluster.get(NodeStatus, Ask("GET", "/v1/status")))

    def genesis(self) -> Flow[GenesisAnswer]:
        """The genesis. Raises NotTrusted when it is not the pinned one."""
        answer = yield from self.cluster.get(GenesisAnswer, Ask("GET", "/v1/genesis"))
        if cluster_id_of(answer.body) != answer.cluster_id:
            raise NotTrusted(f"{self.cluster.url} shows a genesis whose hash is not its cluster id.")
        if self.trust is not None and answer.cluster_id != self.trust:
            raise NotTrusted(
                f"{self.cluster.url} belongs to cluster {answer.cluster_id.hex()}, "
                f"pinned is {self.trust.hex()}."
            )
        self._genesis_body = answer.body
        return answer

    def header(self, height: int | None, verify: bool) -> Flow[Header]:
        """The header of `height`, or the latest; verified against the pinned genesis if asked."""
        path = f"/v1/headers/{'latest' if height is None else height}"
        proven = yield from self.cluster.get(ProvenHeader, Ask("GET", path))
        if verify:
            ground = yield from self._ground(proven)
            return self._believed(lambda: check_header(proven, ground).header)
        return Header.decode(proven.header)

    def transaction(self, tx_id: bytes, verify: bool) -> Flow[TransactionAnswer]:
        """A certified transaction. Raises ApiError `not-found`, NotTrusted."""
        path = hash_path("/v1/tx", tx_id)
        answer = yield from self.cluster.get(TransactionAnswer, Ask("GET", path, options(proof=verify)))
        if verify:
            ground = yield from self._ground(None if answer.proof is None else answer.proof.header)
            self._believed(lambda: check_transaction(answer, ground))
        if Transaction.decode(answer.transaction, len(answer.transaction)).id != tx_id:
            raise NotTrusted(f"The answer is about another transaction than {tx_id.hex()}.")
        return answer

    def block(self, height: int) -> Flow[BlockAnswer]:
        """One height. Raises ApiError `not-found`."""
        return (yield from self.cluster.get(BlockAnswer, Ask("GET", f"/v1/blocks/{height}")))

    def record(self, record_id: str, min_height: int | None, verify: bool) -> Flow[RecordVersion]:
        """A record's newest version. `verify` also proves the absence of one; otherwise it is an
        ApiError `not-found`."""
        query = options(proof=verify, min_height=self._at_least(min_height))
        ask = Ask("GET", record_path("/v1/records", record_id), query, None, _WAIT_STEP_MS)
        answer = yield from self.cluster.get(RecordAnswer, ask)
        if verify:
            key = app_prefix(NAME) + current_key(record_id)
            yield from self._check(answer.entry, key, answer.header, answer.height)
        return RecordVersion(record_id, answer.height, _entry(answer.entry), verify)

    def history(
        self, record_id: str, limit: int, min_height: int | None, verify: bool
    ) -> Flow[tuple[RecordVersion, ...]]:
        """Up to `limit` versions, newest first. Raises ApiError `not-found`."""
        versions: list[RecordVersion] = []
        before: int | None = None
        for _ in range(_PAGES_MAX):
            page, least = min(limit - len(versions), 100), self._at_least(min_height)
            query = options(proof=verify, before=before, limit=page, min_height=least)
            path = record_path("/v1/history", record_id)
            answer = yield from self.cluster.get(HistoryAnswer, Ask("GET", path, query, None, _WAIT_STEP_MS))
            for state in answer.entries:
                entry = _entry(state)
                if entry is None or (before is not None and entry.number != before - 1):
                    raise UnexpectedAnswer(f"The versions of {record_id} do not follow each other.")
                if verify:
                    newest = state.key == app_prefix(NAME) + current_key(record_id)
                    below = current_key(record_id) if newest else version_key(record_id, entry.number)
                    yield from self._check(state, app_prefix(NAME) + below, answer.header, answer.height)
                versions.append(RecordVersion(record_id, answer.height, entry, verify))
                before = entry.number
            if not answer.more or len(versions) >= limit:
                break
        return tuple(versions)

    def prove_transaction(self, tx_id: bytes, checkpoint: int | None) -> Flow[bytes]:
        """The bundle that proves a transaction offline."""
        ask = Ask("GET", hash_path("/v1/prove/tx", tx_id), options(checkpoint=checkpoint))
        return read_file((yield from self.cluster.ask(ask)))

    def prove_record(self, record_id: str, checkpoint: int | None) -> Flow[bytes]:
        """The bundle that proves a record's newest version, or its absence, offline."""
        query = options(checkpoint=checkpoint, min_height=self._at_least(None))
        ask = Ask("GET", record_path("/v1/prove/record", record_id), query, None, _WAIT_STEP_MS)
        return read_file((yield from self.cluster.ask(ask)))

    def validators(self, min_height: int | None) -> Flow[ValidatorsAnswer]:
        """Who certifies headers in the current epoch."""
        least = self._at_least(min_height)
        ask = Ask("GET", "/v1/validators", options(min_height=least), None, _WAIT_STEP_MS)
        return (yield from self.cluster.get(ValidatorsAnswer, ask))

    def look(self, question: Question[T]) -> Flow[T]:
        """A view of the federation; verified as far as it has a proof, and there is a hash to trust."""
        answer = yield from self.cluster.get(question.kind, question.ask)
        if question.proof is not None and self.trust is not None:
            yield from self._check(*question.proof(answer))
        return answer

    def governance(self, min_height: int | None) -> Flow[GovernanceAnswer]:
        """The open proposals. Raises NotTrusted when one is not what its id binds."""
        least = self._at_least(min_height)
        ask = Ask("GET", "/v1/governance", options(min_height=least), None, _WAIT_STEP_MS)
        answer = yield from self.cluster.get(GovernanceAnswer, ask)
        for proposal in answer.proposals:
            _check_binding(proposal)
        return answer

    def proposal(self, proposal_id: bytes, min_height: int | None) -> Flow[ProposalAnswer]:
        """One proposal. Raises ApiError `not-found`, NotTrusted when it is not what the id binds."""
        path = hash_path("/v1/governance", proposal_id)
        least = self._at_least(min_height)
        ask = Ask("GET", path, options(min_height=least), None, _WAIT_STEP_MS)
        answer = yield from self.cluster.get(ProposalAnswer, ask)
        if answer.proposal_id != proposal_id:
            raise NotTrusted(f"The answer is about another proposal than {proposal_id.hex()}.")
        _check_binding(answer)
        return answer

    def wait_ready(self, timeout_ms: int) -> Flow[None]:
        """Until one of the nodes can commit. Raises ApiError with the last one's reasons, or NotReachable."""
        deadline = self.cluster.clock() + timeout_ms
        while True:
            url = f"{self.cluster.url}/readyz"
            answer = yield Send("GET", url, None, self.cluster.timeout_ms)
            if isinstance(answer, Reply) and answer.status == 200:
                return
            if self.cluster.clock() >= deadline:
                if isinstance(answer, Reply):
                    words = f"{url} is not ready: {reasons_of(answer)}"
                    raise ApiError(answer.status, 9015, "not-ready", words, "")
                raise NotReachable(self.cluster.urls, "no answer" if answer is None else answer.reason)
            self.cluster.move_on()
            yield Pause(_AGAIN_MS)

    def _known(self, receipt: Receipt) -> Receipt:
        """The receipt, whose height is known from now on."""
        self._known_height = max(self._known_height, receipt.height)
        return receipt

    def _at_least(self, min_height: int | None) -> int | None:
        """The height below which nothing is to be read."""
        return max(min_height or 0, self._known_height) or None

    def _receipt_after_refusal(self, tx_id: bytes, reply: Reply) -> Flow[Receipt]:
        """A refusal as replayed may be about our own first sending, whose answer was lost. A node refuses
        only what another stored transaction excludes, so the receipt is there now or never."""
        error = read_error(reply)
        if not isinstance(error, ApiError) or error.code != Code.REPLAYED:
            raise error
        try:
            return (yield from self.receipt(tx_id, 0))
        except ApiError:
            raise error from None

    def _outcome_of_replayed(self, tx_id: bytes, outcome: Outcome) -> Flow[Outcome]:
        try:
            receipt = yield from self.receipt(tx_id, 0)
        except ApiError:
            return outcome
        name = status_name(receipt.status)
        return Outcome(
            tx_id,
            "certified",
            receipt.status,
            name,
            receipt.explanation,
            receipt.height,
            receipt.index,
            receipt.encoded,
        )

    def _ground(self, proven: ProvenHeader | None) -> Flow[Ground]:
        """What an answer is checked against, with the links that lead to its epoch. Raises NotTrusted."""
        if self.trust is None:
            raise NotTrusted("To verify an answer the client needs the cluster id to trust (--trust HASH).")
        if self._genesis_body is None:
            yield from self.genesis()
        needed = self._believed(lambda: epoch_of(proven))
        known, links = self._links or (0, None)
        if needed > known:
            links = read_file((yield from self.cluster.ask(Ask("GET", "/v1/links"))))
            self._links = (len(LinksFile.decode(links).links), links)
        return Ground(self._genesis_body or b"", self.trust, links)

    def _check(self, entry: StateEntry, key: bytes, header: ProvenHeader | None, height: int) -> Flow[None]:
        ground = yield from self._ground(header)
        verified = self._believed(lambda: check_entry(entry, key, header, ground))
        if verified.height != height:
            raise NotTrusted(f"The proof is of height {verified.height}, the answer says {height}.")

    def _believed(self, check: Callable[[], T]) -> T:
        """What `check` answers. The links are forgotten when it fails: they may be what a node lied about."""
        try:
            return check()
        except ProofError as error:
            self._links = None
            raise NotTrusted(f"The answer does not prove what it says: {error}.") from error


def understood(flow: Flow[T]) -> Flow[T]:
    """The flow, with bytes that cannot be read told as what they are: another version's answer."""
    try:
        return (yield from flow)
    except (CodecError, RejectedTransaction) as error:
        raise UnexpectedAnswer(f"An answer cannot be read by this client: {error}.") from error


def _check_binding(answer: ProposalAnswer) -> None:
    """An operator approves an id: the changes that are shown beside it must be those it stands for."""
    bound = proposal_id_of(changes_of(decode(answer.changes)), answer.sweeping, answer.tx_id)
    if bound != answer.proposal_id:
        raise NotTrusted(f"The node shows other changes than proposal {answer.proposal_id.hex()} binds.")


def _entry(state: StateEntry) -> Entry | None:
    return None if state.value is None else Entry.decode(state.value)


def _receipt(data: bytes, tx_id: bytes) -> Receipt:
    receipt = Receipt.decode(data)
    if receipt.tx_id != tx_id:
        raise UnexpectedAnswer(f"The receipt is of {receipt.tx_id.hex()}, asked was {tx_id.hex()}.")
    return receipt


def _is_open(outcome: Outcome, certified: bool) -> bool:
    """Whether sending it again may still change the outcome for the better."""
    if outcome.state == "rejected":
        return outcome.code in _BACK_PRESSURE
    return certified and outcome.state == "admitted"
