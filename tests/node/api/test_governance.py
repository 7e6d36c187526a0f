"""Who validates and what is being decided, as the HTTP door tells it."""

import httpx2

from consensus import decode
from node.api.governance_queries import GovernanceAnswer, ProposalAnswer, ValidatorsAnswer
from node.api.shapes import from_value
from tests.node.api.fake_backend import (
    OPERATOR_KEYS,
    PROPOSE_WEIGHT,
    START_MS,
    VALIDATOR_KEYS,
    FakeBackend,
    govern,
    weight_proposal_id,
)
from tests.node.api.live import serving

PACKED = {"accept": "application/msgpack"}


async def test_the_validators_are_those_of_the_roster_and_follow_it() -> None:
    backend = FakeBackend()
    proposal_id = weight_proposal_id(backend.genesis)
    async with serving(backend) as live, httpx2.AsyncClient(base_url=live.url, headers=PACKED) as http:
        before = from_value(ValidatorsAnswer, decode((await http.get("/v1/validators")).content))
        for key, method, args in (
            (OPERATOR_KEYS[0], "propose", PROPOSE_WEIGHT),
            (OPERATOR_KEYS[1], "approve", (proposal_id,)),
            (OPERATOR_KEYS[2], "approve", (proposal_id,)),
        ):
            await backend.submit([govern(backend.genesis, key, method, args).encoded])
        after = from_value(ValidatorsAnswer, decode((await http.get("/v1/validators")).content))
    assert (before.epoch, before.total_weight, before.height) == (0, 4, 0)
    assert [v.public_key for v in before.validators] == [key.public_key for key in VALIDATOR_KEYS]
    assert [v.operator_key for v in before.validators] == [key.public_key for key in OPERATOR_KEYS]
    assert (after.epoch, after.total_weight, after.height) == (1, 5, 3)
    assert [v.weight for v in after.validators] == [1, 1, 1, 2]


async def test_a_proposal_shows_its_changes_and_how_far_it_is() -> None:
    backend = FakeBackend()
    proposal_id = weight_proposal_id(backend.genesis)
    async with serving(backend) as live, httpx2.AsyncClient(base_url=live.url) as http:
        await backend.submit([govern(backend.genesis, OPERATOR_KEYS[0], "propose", PROPOSE_WEIGHT).encoded])
        text = (await http.get("/v1/governance")).json()
        listed = from_value(
            GovernanceAnswer, decode((await http.get("/v1/governance", headers=PACKED)).content)
        )
        for number in (1, 2):
            approving = govern(backend.genesis, OPERATOR_KEYS[number], "approve", (proposal_id,))
            await backend.submit([approving.encoded])
        emptied = (await http.get("/v1/governance")).json()
        packed = await http.get(f"/v1/governance/{proposal_id.hex()}", headers=PACKED)
        unknown = await http.get(f"/v1/governance/{bytes(32).hex()}")
    (shown,) = text["proposals"]
    assert shown["decoded_changes"] == [{"kind": "weight", "name": "node-3", "weight": 2}]
    assert (shown["state"], shown["approving_weight"], shown["total_weight"]) == ("open", 1, 4)
    assert shown["approvals"] == [
        {"operator_key": OPERATOR_KEYS[0].public_key.hex(), "validator": "node-0", "weight": 1}
    ]
    assert listed.proposals[0].proposal_id == proposal_id
    assert (listed.height, listed.epoch) == (1, 0)
    assert listed.proposals[0].expires_at_ms > START_MS
    assert emptied["proposals"] == []
    executed = from_value(ProposalAnswer, decode(packed.content))
    assert (executed.state, executed.executed_height) == ("executed", 3)
    assert unknown.status_code == 404
