"""The route table: the only list of what this node answers. The router and the document are made from it."""

from node.api import handlers
from node.api.asking import OPERATIONS as ASKING_OPERATIONS
from node.api.backend import NodeStatus, Readiness
from node.api.call import Media, Operation
from node.api.events import FROM, LAST_EVENT_ID, stream_events
from node.api.explorer import OPERATIONS as EXPLORER_OPERATIONS
from node.api.faults import BODY_FAULTS, Fault
from node.api.federation import OPERATIONS as FEDERATION_OPERATIONS
from node.api.governance import OPERATIONS as GOVERNANCE_OPERATIONS
from node.api.handlers import (
    AFTER,
    BEFORE,
    BLOCK,
    CHECKPOINT,
    HEADER_HEIGHT,
    LIMIT,
    MIN_HEIGHT,
    PROOF,
    RECORD_ID,
    STATE_KEY,
    TX_ID,
)
from node.api.levels import LEVEL
from node.api.links import OPERATION as LINKS_OPERATION
from node.api.listing import OPERATIONS as LISTING_OPERATIONS
from node.api.opaque import OPERATION as OPAQUE_OPERATION
from node.api.openapi import get_document
from node.api.peer_queries import OPERATIONS as PEER_OPERATIONS
from node.api.record_queries import HistoryAnswer, RecordAnswer
from node.api.submitting import TIMEOUT, WAIT, submit_many, submit_one
from node.api.views import (
    BlockAnswer,
    EvidenceAnswer,
    GenesisAnswer,
    Outcome,
    ProvenHeader,
    ReceiptAnswer,
    StateAnswer,
    TransactionAnswer,
)
from node.ledger.params import Params

_READ_FAULTS = (Fault.BAD_PARAMETER, Fault.NOT_ACCEPTABLE, Fault.NOT_FOUND, Fault.PRUNED, Fault.BUSY)
_WAIT_FAULTS = (*_READ_FAULTS, Fault.HEIGHT_NOT_REACHED)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "POST",
        "/v1/tx",
        "submitTransaction",
        "Submit one signed transaction and wait for its certified receipt, or for its commit.",
        submit_one,
        (WAIT, TIMEOUT),
        Outcome,
        statuses=((200, "What became of it."), (202, "Taken, but not that far within the wait.")),
        takes_body=True,
        faults=BODY_FAULTS,
    ),
    Operation(
        "POST",
        "/v1/txs",
        "submitTransactions",
        "Submit many signed transactions; one outcome each, in order.",
        submit_many,
        (WAIT, TIMEOUT),
        tuple[Outcome, ...],
        takes_body=True,
        faults=BODY_FAULTS,
    ),
    Operation(
        "GET",
        "/v1/tx/{tx_id}",
        "getTransaction",
        "A certified transaction with its receipt.",
        handlers.get_transaction,
        (TX_ID, PROOF, LEVEL, MIN_HEIGHT, TIMEOUT),
        TransactionAnswer,
        faults=_WAIT_FAULTS,
    ),
    Operation(
        "GET",
        "/v1/receipts/{tx_id}",
        "getReceipt",
        "A certified receipt; waits for it when timeout_ms is given.",
        handlers.get_receipt,
        (TX_ID, LEVEL, TIMEOUT),
        ReceiptAnswer,
        faults=_READ_FAULTS,
    ),
    Operation(
        "GET",
        "/v1/blocks/{block}",
        "getBlock",
        "One height: header, certificate, transactions, receipts.",
        handlers.get_block,
        (BLOCK, LEVEL, MIN_HEIGHT, TIMEOUT),
        BlockAnswer,
        faults=_WAIT_FAULTS,
    ),
    Operation(
        "GET",
        "/v1/headers/{height}",
        "getHeader",
        "A ledger header with what proves it final.",
        handlers.get_header,
        (HEADER_HEIGHT, LEVEL, MIN_HEIGHT, TIMEOUT),
        ProvenHeader,
        faults=_WAIT_FAULTS,
    ),
    Operation(
        "GET",
        "/v1/records/{record_id:path}",
        "getRecord",
        "A record's newest version, or the proof that there is none.",
        handlers.get_record,
        (RECORD_ID, PROOF, LEVEL, MIN_HEIGHT, TIMEOUT),
        RecordAnswer,
        faults=_WAIT_FAULTS,
    ),
    Operation(
        "GET",
        "/v1/history/{record_id:path}",
        "getHistory",
        "A record's versions, newest first.",
        handlers.get_history,
        (RECORD_ID, PROOF, BEFORE, LIMIT, LEVEL, MIN_HEIGHT, TIMEOUT),
        HistoryAnswer,
        faults=_WAIT_FAULTS,
    ),
    Operation(
        "GET",
        "/v1/state/{key}",
        "getState",
        "One state entry, present or absent.",
        handlers.get_state,
        (STATE_KEY, PROOF, LEVEL, MIN_HEIGHT, TIMEOUT),
        StateAnswer,
        faults=_WAIT_FAULTS,
    ),
    Operation(
        "GET",
        "/v1/prove/tx/{tx_id}",
        "proveTransaction",
        "A bundle that proves a transaction and its receipt offline (isthmus verify).",
        handlers.prove_transaction,
        (TX_ID, CHECKPOINT, MIN_HEIGHT, TIMEOUT),
        media=Media.FILE,
        faults=_WAIT_FAULTS,
    ),
    Operation(
        "GET",
        "/v1/prove/record/{record_id:path}",
        "proveRecord",
        "A bundle that proves a record's newest version, or that there is none.",
        handlers.prove_record,
        (RECORD_ID, CHECKPOINT, MIN_HEIGHT, TIMEOUT),
        media=Media.FILE,
        faults=_WAIT_FAULTS,
    ),
    Operation(
        "GET",
        "/v1/prove/header/{height}",
        "proveHeader",
        "A bundle that proves a header.",
        handlers.prove_header,
        (HEADER_HEIGHT, CHECKPOINT, MIN_HEIGHT, TIMEOUT),
        media=Media.FILE,
        faults=_WAIT_FAULTS,
    ),
    Operation(
        "GET",
        "/v1/genesis",
        "getGenesis",
        "The genesis and the cluster id that everybody pins.",
        handlers.get_genesis,
        (),
        GenesisAnswer,
    ),
    Operation(
        "GET", "/v1/status", "getStatus", "One look at this node.", handlers.get_status, (), NodeStatus
    ),
    *LISTING_OPERATIONS,
    *GOVERNANCE_OPERATIONS,
    *FEDERATION_OPERATIONS,
    LINKS_OPERATION,
    *PEER_OPERATIONS,
    Operation(
        "GET",
        "/v1/evidence",
        "getEvidence",
        "Kept proofs of misbehaviour.",
        handlers.get_evidence,
        (AFTER, LIMIT),
        EvidenceAnswer,
        faults=_READ_FAULTS,
    ),
    Operation(
        "GET",
        "/v1/events",
        "streamEvents",
        "Server-sent events from any place on; resumable by Last-Event-ID.",
        stream_events,
        (FROM, LAST_EVENT_ID),
        media=Media.EVENTS,
        faults=(Fault.BAD_PARAMETER, Fault.TOO_MANY_STREAMS, Fault.SHUTTING_DOWN),
    ),
    Operation(
        "GET",
        "/livez",
        "getLiveness",
        "Whether this process answers at all.",
        handlers.get_livez,
        media=Media.TEXT,
    ),
    Operation(
        "GET",
        "/readyz",
        "getReadiness",
        "Whether this node can commit.",
        handlers.get_readyz,
        (),
        Readiness,
        Media.JSON_ONLY,
        ((200, "It can."), (503, "It cannot; every reason is a sentence.")),
    ),
    Operation(
        "GET",
        "/metrics",
        "getMetrics",
        "Metrics in the Prometheus text format.",
        handlers.get_metrics,
        media=Media.TEXT,
    ),
    Operation(
        "GET",
        "/openapi.json",
        "getDocument",
        "This document.",
        get_document,
        media=Media.JSON_ONLY,
    ),
    *ASKING_OPERATIONS,
    *EXPLORER_OPERATIONS,
)


def operations_of(params: Params) -> tuple[Operation, ...]:
    """What a node of a cluster with these parameters answers: `/v1/opaque` exists on benchmark clusters."""
    return OPERATIONS if params.benchmark is None else (*OPERATIONS, OPAQUE_OPERATION)
