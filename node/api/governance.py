"""GET /v1/validators and /v1/governance: who validates, and what operators are deciding."""

from starlette.responses import Response

from node.api import governance_queries
from node.api.call import Call, Operation
from node.api.faults import Fault
from node.api.governance_queries import GovernanceAnswer, ProposalAnswer, ValidatorsAnswer
from node.api.handlers import MIN_HEIGHT, reach_min_height
from node.api.parameters import path_hash
from node.api.submitting import TIMEOUT

PROPOSAL_ID = path_hash("proposal_id", "The proposal's id, 64 hexadecimal digits.")


async def get_validators(call: Call) -> Response:
    """GET /v1/validators."""
    await reach_min_height(call)
    return call.answer(await call.door.read(governance_queries.validators))


async def get_governance(call: Call) -> Response:
    """GET /v1/governance."""
    await reach_min_height(call)
    return call.answer(await call.door.read(governance_queries.governance))


async def get_proposal(call: Call) -> Response:
    """GET /v1/governance/{proposal_id}."""
    proposal_id = call.need(PROPOSAL_ID)
    await reach_min_height(call)
    return call.answer(await call.door.read(lambda view: governance_queries.proposal(view, proposal_id)))


_FAULTS = (
    Fault.BAD_PARAMETER,
    Fault.NOT_ACCEPTABLE,
    Fault.NOT_FOUND,
    Fault.BUSY,
    Fault.HEIGHT_NOT_REACHED,
)
OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "GET",
        "/v1/validators",
        "getValidators",
        "Who certifies headers in the current epoch.",
        get_validators,
        (MIN_HEIGHT, TIMEOUT),
        ValidatorsAnswer,
        faults=_FAULTS,
    ),
    Operation(
        "GET",
        "/v1/governance",
        "getGovernance",
        "What operators are deciding: the open proposals.",
        get_governance,
        (MIN_HEIGHT, TIMEOUT),
        GovernanceAnswer,
        faults=_FAULTS,
    ),
    Operation(
        "GET",
        "/v1/governance/{proposal_id}",
        "getProposal",
        "One proposal, with its approvals and joining validators.",
        get_proposal,
        (PROPOSAL_ID, MIN_HEIGHT, TIMEOUT),
        ProposalAnswer,
        faults=_FAULTS,
    ),
)
