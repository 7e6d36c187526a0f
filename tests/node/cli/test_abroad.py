"""`isthmus query --cluster`, `--catalogue` and `prove message` through the real door, over two ledgers."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import pytest

from node.anchoring.lanes.courier import LeafName
from node.anchoring.questions import CatalogueAsked, Page, Question
from node.api.asking import OPERATIONS, check_answer
from node.api.asking_talk import state_of
from node.api.backend import AsksOthers
from node.api.call import Operation
from node.api.federation_queries import ClusterAnswer, FederationAnswer
from node.cli.exits import Exit
from node.cli.failures import Failure
from node.cli.names import claimant
from node.client import AsyncClient
from node.daemon.federation.asking import Asking
from node.daemon.federation.told import StateTold
from node.home import write_key
from node.ledger.federation.changes import SetReaders
from node.ledger.federation.grants import Grant
from node.proofs import ProofError
from tests.node.api.live import serving
from tests.node.api.test_routes import check_schema, schemas_of
from tests.node.cli.test_kept_evidence import ask, held_by
from tests.node.daemon.federation.test_asking import MANIFEST, World
from tests.node.daemon.federation.test_asking import world as world  # a fixture, used by its name

NAME = f"ports.beta/{MANIFEST}"


@dataclass
class Desk:
    """alpha's door, alice's key, and the command line."""

    world: World
    url: str
    folder: Path
    capture: pytest.CaptureFixture[str]

    async def run(self, *arguments: object) -> tuple[int, str, str]:
        code = await ask(*arguments, "--url", self.url, "--key", self.folder / "alice.key")
        told = self.capture.readouterr()
        return code, told.out, told.err

    async def json(self, *arguments: object) -> tuple[int, dict[str, Any]]:
        code, out, err = await self.run(*arguments, "--trust", self.world.a.id.hex(), "--json")
        assert out, err
        return code, json.loads(out)


@pytest.fixture
async def desk(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Desk]:
    monkeypatch.setattr("time.time_ns", lambda: world.b.now_ms * 1_000_000)
    tmp_path.chmod(0o700)
    write_key(tmp_path / "alice.key", sha256(b"ports.alpha/alice").digest())
    backend = held_by(world.a)
    backend.genesis = world.a.genesis
    backend.asking = world.asking
    async with serving(backend) as live:
        yield Desk(world, live.url, tmp_path, capsys)


@pytest.mark.parametrize(
    "words",
    [
        ("query", NAME),
        ("query", "--cluster", "ports.beta", "port/manifest"),
        ("query", "port/manifest", "--cluster", "ports.beta"),
        ("query", "--cluster", "ports.beta", MANIFEST),
    ],
    ids=["name", "cluster first", "cluster last", "resource"],
)
async def test_a_record_of_another_cluster_is_read_and_verified(desk: Desk, words: tuple[str, ...]) -> None:
    code, answer = await desk.json(*words)
    assert (code, answer["verified"], answer["name"]) == (0, True, NAME)
    assert answer["record"]["owner"] == "acme"
    assert answer["height"] <= answer["anchored_height"]
    assert answer["age_ms"] >= 0


async def test_its_proof_verifies_offline_with_the_other_clusters_hash(desk: Desk) -> None:
    proof = desk.folder / "beta.bundle"
    code, out, _ = await desk.run("query", NAME, "--proof", proof)
    assert code == 0
    assert "verified  by the node only" in out
    verifying = ("verify", proof, "--json", "--trust")
    assert await ask(*verifying, desk.world.b.id.hex()) == 0
    assert await ask(*verifying, desk.world.a.id.hex()) == Exit.NEGATIVE


async def test_a_proven_absence_is_a_negative_answer(desk: Desk) -> None:
    code, answer = await desk.json("query", "ports.beta/records/no/such")
    assert (code, answer["verified"], answer["record"]) == (Exit.NEGATIVE, True, None)
    _, out, _ = await desk.run("query", "ports.beta/records/no/such")
    assert "its absence is proven" in out


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("query", "ports.gamma/records/a/b"), Exit.NEGATIVE, "there are ports.beta"),
        (("query", "ports.alpha/records/a/b"), Exit.USAGE, "this cluster itself"),
        (("query", "--cluster", "ports.gamma", "a/b"), Exit.NEGATIVE, "there are ports.beta"),
        (("query", "ports.beta/records"), Exit.USAGE, "sector.cluster/app/resource"),
        (("query", "--cluster", "ports.beta"), Exit.USAGE, "--catalogue"),
        (("query", "ports.beta/registry/x"), Exit.REFUSED, "can be no resource"),
        (("query", f"ports.beta/records/{'x' * 400}"), Exit.USAGE, "no question"),
    ],
)
async def test_what_cannot_be_asked_is_told(desk: Desk, words: tuple[str, ...], code: int, told: str) -> None:
    got, _, error = await desk.run(*words)
    assert got == code
    assert told in error


async def test_denied_says_so_and_how_to_be_let_in(desk: Desk) -> None:
    assert desk.world.b.govern(SetReaders(desk.world.a.id, ())).ok
    for record in ("port/manifest", "no/such"):
        code, _, error = await desk.run("query", "--cluster", "ports.beta", record)
        assert code == Exit.REFUSED
        assert "isthmus governance propose" in error


async def test_an_answer_that_is_not_anchored_in_time_is_a_clear_code(desk: Desk) -> None:
    desk.world.b.put("port/other")
    code, _, error = await desk.run("query", NAME, "--timeout", "1")
    assert code == Exit.REFUSED
    assert "not-anchored" in error


async def test_a_search_lists_names_says_it_proves_nothing_and_who_did_not_answer(desk: Desk) -> None:
    code, answer = await desk.json("query", "--catalogue", "MANI")
    assert (code, answer["complete"]) == (0, False)
    assert [found["name"] for found in answer["found"]] == [NAME]
    code, out, _ = await desk.run("query", "--catalogue", "nowhere", "--cluster", "ports.beta")
    assert code == Exit.NEGATIVE
    assert "not provably complete" in out
    desk.world.nodes = ()
    code, answer = await desk.json("query", "--catalogue", "mani", "--timeout", "1", "--cluster", "all")
    assert code == Exit.NEGATIVE
    assert [silent["cluster"] for silent in answer["did_not_answer"]] == ["ports.beta"]
    assert answer["did_not_answer"][0]["code"] == "cluster-silent"


async def test_only_what_may_be_listed_is_found(desk: Desk) -> None:
    assert desk.world.b.govern(SetReaders(desk.world.a.id, (Grant("records/", False),))).ok
    code, answer = await desk.json("query", "--catalogue", "mani")
    assert (code, answer["did_not_answer"][0]["code"]) == (Exit.NEGATIVE, "question-denied")


async def test_a_message_is_proven_and_verified_with_either_hash(desk: Desk) -> None:
    world, file = desk.world, desk.folder / "message.bundle"
    code, _, error = await desk.run("prove", "message", "ports.beta", 1, "--out", file)
    assert code == Exit.NEGATIVE
    assert "not-sent" in error
    world.a.put("port/tide")
    assert world.a.share("port/tide", world.b).ok
    code, _, error = await desk.run("prove", "message", "ports.beta", 1, "--out", file)
    assert code == Exit.REFUSED
    assert "not-answered" in error
    assert world.b.pull(world.a) is not None
    code, answer = await desk.json("prove", "message", "ports.beta", 1, "--out", file)
    assert (code, answer["bytes"]) == (0, file.stat().st_size)
    genesis_bytes = len(world.a.genesis.body) + len(world.b.genesis.body)
    assert answer["bytes"] - genesis_bytes <= 3 * 1024
    for trust in (world.a.id, world.b.id):
        assert await ask("verify", file, "--trust", trust.hex(), "--json") == 0
        verdict = json.loads(desk.capture.readouterr().out)
        assert (verdict["kind"], verdict["content"]["result"]) == ("message", "ok")
        assert (verdict["content"]["from"], verdict["content"]["to"]) == ("ports.alpha", "ports.beta")
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    file.write_bytes(damaged)
    assert await ask("verify", file, "--trust", world.a.id.hex()) == Exit.NEGATIVE


@dataclass
class Forging:
    """A node of our own that changes what it passes on."""

    honest: Asking

    async def state(self, cluster_id: bytes, data: bytes, seconds: float) -> StateTold:
        told = await self.honest.state(cluster_id, data, seconds)
        client = told.held.client
        other = replace(client, last=replace(client.last, header_hash=client.last.state_root))
        return replace(told, held=replace(told.held, client=other, leaf=other.encode()))

    async def catalogue(self, cluster_id: bytes, data: bytes, seconds: float) -> Page:
        return await self.honest.catalogue(cluster_id, data, seconds)

    async def message(self, cluster_id: bytes, name: LeafName, seconds: float) -> bytes:
        return (await self.honest.message(cluster_id, name, seconds))[:-1]


async def test_a_node_of_our_own_that_lies_about_the_anchor_is_found_out(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time_ns", lambda: world.b.now_ms * 1_000_000)
    tmp_path.chmod(0o700)
    write_key(tmp_path / "alice.key", sha256(b"ports.alpha/alice").digest())
    backend = held_by(world.a)
    backend.genesis = world.a.genesis
    forging: AsksOthers = Forging(world.asking)
    backend.asking = forging
    async with serving(backend) as live:
        words = ("query", NAME, "--url", live.url, "--key", tmp_path / "alice.key")
        assert await ask(*words, "--trust", world.a.id.hex()) == Exit.NEGATIVE
        assert "does not prove" in capsys.readouterr().err


def cluster_answer(name: str, cluster_id: bytes) -> ClusterAnswer:
    empty = bytes(32)
    return ClusterAnswer(cluster_id, name, "active", 0, 0, 1, empty, 0, 0, 0, 0, 0, False, (), ())


def test_a_name_that_is_claimed_twice_shows_both_claims() -> None:
    own, first, second = bytes(32), b"\x01" * 32, b"\x02" * 32
    answer = FederationAnswer(1, 0, 2, 1, 1, (cluster_answer("ports.beta", first),))
    assert claimant(answer, "ports.beta", "ports.alpha", own).cluster_id == first
    with pytest.raises(Failure) as refused:
        claimant(answer, "ports.beta", "ports.beta", own)
    assert first.hex() in refused.value.message
    assert own.hex() in refused.value.message
    twice = replace(answer, clusters=(*answer.clusters, cluster_answer("ports.beta", second)))
    with pytest.raises(Failure) as refused:
        claimant(twice, "ports.beta", "ports.alpha", own)
    assert first.hex() in refused.value.message
    assert second.hex() in refused.value.message


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda item: item.name)
async def test_each_route_answers_in_json_what_its_document_says(desk: Desk, operation: Operation) -> None:
    world = desk.world
    world.a.put("port/tide")
    assert world.a.share("port/tide", world.b).ok
    assert world.b.pull(world.a) is not None
    world.anchor()
    subject = CatalogueAsked("") if operation.name == "searchCluster" else None
    asked = "" if operation.name == "proveMessage" else f"?question={world.question(subject).hex()}"
    path = operation.path.format(cluster_id=world.b.id.hex(), sequence=1)
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.get(f"{desk.url}{path}{asked}")
    assert answer.status_code == 200, answer.text
    check_schema(answer.json(), schemas_of([operation]), operation)


async def test_words_that_differ_from_their_proof_are_refused(desk: Desk) -> None:
    async with AsyncClient([desk.url], trust=desk.world.a.id) as client:
        question = Question.decode(desk.world.question())
        answer = await client.look(state_of(question, timeout_ms=10_000))
    b = desk.world.b.id
    check_answer(answer, b, MANIFEST)
    for wrong in (
        replace(answer, value=b"forged"),
        replace(answer, height=answer.height + 1),
        replace(answer, time_ms=answer.time_ms + 1),
        replace(answer, anchored_height=answer.anchored_height + 1),
        replace(answer, path=(bytes(32),), bundle=answer.bundle[:-1]),
        replace(answer, client=replace(answer.client, value=None)),
    ):
        with pytest.raises(ProofError):
            check_answer(wrong, b, MANIFEST)
    with pytest.raises(ProofError):
        check_answer(answer, desk.world.a.id, MANIFEST)
    with pytest.raises(ProofError):
        check_answer(answer, b, "records/port/other")
