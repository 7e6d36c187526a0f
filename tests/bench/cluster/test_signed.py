"""Signed mode: bodies that every node verifies, made ahead, and a cluster that takes no forged one."""

import io
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from bench.cluster.command import command
from bench.cluster.ground import GroundError, open_attached, open_local
from bench.cluster.options import scenario_of
from bench.cluster.scenarios import BY_NAME, Mode
from bench.cluster.screen import show_one, show_rates
from bench.cluster.signedbodies import BodiesPlan, read_bodies, signed_body, write_bodies
from consensus import ED25519, SigningKey, decode
from node.api.opaque import OCTETS, OpaqueOutcome
from node.api.shapes import from_value
from node.client import AsyncClient
from node.pool.signedchunks import verify_chunk
from tests.bench.cluster.made_up import outcome_of, trial_at

MARK = "SIGNED, NOT EXECUTED"
SEEDS = (bytes(32), bytes([1]) * 32, bytes([2]) * 32)
CLUSTER = bytes(range(32))


def plan_of(file: Path, first: int = 0, step: int = 1) -> BodiesPlan:
    return BodiesPlan(CLUSTER, SEEDS, first, step, 5, 7, 200, str(file))


def test_processes_side_by_side_make_the_same_bodies_as_one_alone(tmp_path: Path) -> None:
    write_bodies(plan_of(tmp_path / "one"))
    for first in (1, 0):
        write_bodies(plan_of(tmp_path / "two", first, 2))
    made = read_bodies(tmp_path / "one", 7 * 200)
    assert read_bodies(tmp_path / "two", 7 * 200) == made
    assert made == [signed_body(plan_of(tmp_path), number) for number in range(5)]
    assert len(set(made)) == 5


def test_every_transaction_of_a_body_is_signed_by_a_client_for_its_cluster(tmp_path: Path) -> None:
    body = signed_body(plan_of(tmp_path), 3)
    assert verify_chunk(body, 200, CLUSTER, ED25519) == ""
    assert verify_chunk(body, 200, bytes(32), ED25519)
    keys = [body[start : start + 32] for start in range(0, len(body), 200)]
    assert keys == [SigningKey(SEEDS[place % 3]).public_key for place in range(7)]
    assert len({body[start + 96 : start + 200] for start in range(0, len(body), 200)}) == 7


def test_a_plan_survives_its_way_to_the_process_that_signs(tmp_path: Path) -> None:
    plan = plan_of(tmp_path / "bodies", 1, 2)
    assert BodiesPlan.from_json(plan.to_json()) == plan


def test_a_file_that_holds_no_bodies_is_refused(tmp_path: Path) -> None:
    for data in (b"", bytes(201)):
        (tmp_path / "file").write_bytes(data)
        with pytest.raises(ValueError, match="holds no bodies of 200 bytes"):
            read_bodies(tmp_path / "file", 200)


def test_every_table_is_marked_and_scripts_are_told() -> None:
    outcome = outcome_of(BY_NAME["signed-saturate"], trial_at(50))
    with redirect_stdout(io.StringIO()) as shown:
        show_one(outcome)
        show_rates([outcome], [50])
    assert shown.getvalue().count(MARK) == 2
    assert "64 clients" in shown.getvalue()
    figures = outcome.to_json()
    assert (figures["mode"], figures["signed"], figures["executed"]) == ("signed", True, False)


@pytest.mark.parametrize(
    ("arguments", "label"),
    [
        (("--mode", "signed"), "signed-saturate"),
        (("--scenario", "signed-saturate"), "signed-saturate"),
        (("--mode", "signed", "--rate", "2000"), "signed-2k"),
        (("--mode", "signed", "--rate", "1500"), "signed-1500"),
        (("--mode", "signed", "--outstanding", "4096"), "signed-outstanding-4096"),
        (("--mode", "signed", "--clients", "8"), "signed-saturate clients=8"),
        (("--mode", "signed", "--payload-bytes", "97"), "signed-saturate payload_bytes=97"),
    ],
)
def test_the_mode_has_its_own_scenarios(arguments: tuple[str, ...], label: str) -> None:
    scenario = scenario_of(command.make_context("cluster", list(arguments)).params)
    assert (scenario.label, scenario.mode) == (label, Mode.SIGNED)


async def test_a_cluster_takes_what_is_signed_and_refuses_what_is_forged(tmp_path: Path) -> None:
    scenario = replace(BY_NAME["signed-saturate"], nodes=1, clients=2)
    async with open_local(scenario, tmp_path / "net") as ground:
        (url,) = ground.urls.values()
        plan = BodiesPlan(ground.cluster_id, ground.seeds, 0, 1, 1, 40, 512, "")
        good = signed_body(plan, 0)
        forged = good[:-1] + bytes((good[-1] ^ 1,))
        elsewhere = signed_body(replace(plan, cluster_id=CLUSTER), 0)
        headers = {"content-type": OCTETS, "accept": "application/msgpack"}
        path = f"{url}/v1/opaque?transaction_bytes=512"
        async with AsyncClient((url,)) as client, httpx2.AsyncClient(trust_env=False) as http:
            assert (await client.status()).benchmark == "signed"
            assert (await http.get(f"{url}/readyz")).json()["benchmark"] == "signed"
            taken = await http.post(path, content=good, headers=headers)
            refused = [await http.post(path, content=body, headers=headers) for body in (forged, elsewhere)]
            small = await http.post(
                f"{url}/v1/opaque?transaction_bytes=96", content=bytes(96), headers=headers
            )
        (outcome,) = from_value(tuple[OpaqueOutcome, ...], decode(taken.content))
        assert (outcome.state, outcome.transactions) == ("certified", 40)
        assert [(answer.status_code, answer.json()["name"]) for answer in (*refused, small)] == [
            (400, "bad-signature"),
            (400, "bad-signature"),
            (400, "malformed"),
        ]
        assert "transaction 39" in refused[0].json()["message"]
        async with open_attached((url,), (), Mode.SIGNED) as attached:
            assert attached.cluster_id == ground.cluster_id
        with pytest.raises(
            GroundError, match=r"benchmark cluster \(signed\); it cannot be measured in opaque"
        ):
            async with open_attached((url,), (), Mode.OPAQUE):
                raise AssertionError("it was opened")
