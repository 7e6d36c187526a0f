"""`isthmus federation invite, join, list, leave`, `anchors`, `lanes` over the real ledger and HTTP door."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio
from rich.console import Console

from node.cli.commands.federation import Screen
from node.cli.exits import Exit
from node.cli.main import run
from node.home import write_key
from node.local.federation import Sight
from tests.node.api.fake_backend import START_MS, FakeBackend, make_genesis
from tests.node.api.live import serving

OPERATOR_SEEDS = tuple(bytes((number,)) * 32 for number in range(21, 25))


@dataclass
class Desk:
    """Two served clusters, strangers to each other, and the command line."""

    urls: dict[str, str]
    folder: Path
    capture: pytest.CaptureFixture[str]

    async def run(self, *arguments: object) -> tuple[int, str, str]:
        """(exit code, standard output, standard error)."""
        code = await trio.to_thread.run_sync(run, [str(argument) for argument in arguments])
        captured = self.capture.readouterr()
        return code, captured.out, captured.err

    async def ask(self, cluster: str, *arguments: object) -> tuple[int, Any]:
        """(exit code, the answer) under --json."""
        code, out, _ = await self.run(*arguments, "--url", self.urls[cluster], "--json")
        return code, json.loads(out)

    async def invite(self, cluster: str, *arguments: object) -> Path:
        """The invitation of a cluster."""
        file = self.folder / f"{cluster}.json"
        code, answer = await self.ask(cluster, "federation", "invite", "--out", file, *arguments)
        assert code == 0, answer
        return file

    async def decide(self, cluster: str, *arguments: object) -> str:
        """Three of four operators agree; the proposal's id."""
        code, answer = await self.ask(cluster, *arguments, "--key", self.folder / "operator-0.key")
        assert (code, answer["ok"], answer["executed"]) == (0, True, False), answer
        for number in (1, 2):
            key = self.folder / f"operator-{number}.key"
            words = ("governance", "approve", answer["proposal"], "--key", key)
            code, approved = await self.ask(cluster, *words)
            assert code == 0, approved
        assert approved["executed"]
        return str(answer["proposal"])


@pytest.fixture
async def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Desk]:
    for number, seed in enumerate(OPERATOR_SEEDS):
        write_key(tmp_path / f"operator-{number}.key", seed)
    ours, theirs = FakeBackend(make_genesis("harbour")), FakeBackend(make_genesis("customs"))
    async with serving(ours) as first, serving(theirs) as second:
        yield Desk({"harbour": first.url, "customs": second.url}, tmp_path, capsys)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake clusters live in 2023: signatures expire by their clock, not by ours."""
    monkeypatch.setattr("time.time_ns", lambda: START_MS * 1_000_000)


async def test_a_cluster_invites_and_the_other_one_admits_it(desk: Desk) -> None:
    file = await desk.invite("customs", "--address", "node-1=customs.example:27600")
    invited = json.loads(file.read_text())
    assert [(a["host"], a["port"]) for a in invited["addresses"]] == [("customs.example", 27600)]
    words = ("federation", "join", file, "--records", "--expect", invited["cluster_id"])
    proposal = await desk.decide("harbour", *words)
    _, shown = await desk.ask("harbour", "governance", "show", proposal)
    admitted, *policies = shown["decoded_changes"]
    assert (admitted["kind"], admitted["cluster_id"]) == ("admit-cluster", invited["cluster_id"])
    assert [(p["kind"], p["port"]) for p in policies] == [
        ("lane-policy", "records"),
        ("lane-policy", "records.request"),
    ]
    code, listed = await desk.ask("harbour", "federation", "list")
    assert code == 0
    assert [(c["name"], c["status"]) for c in listed["clusters"]] == [("customs", "active")]
    code, anchored = await desk.ask("harbour", "anchors", "customs")
    assert (code, anchored["clusters"][0]["height"]) == (0, 0)
    code, lanes = await desk.ask("harbour", "lanes", invited["cluster_id"])
    assert (code, lanes["clusters"][0]["lanes"]) == (0, [])


async def test_a_proposal_about_a_cluster_is_shown_to_people_with_its_id(desk: Desk) -> None:
    file = await desk.invite("customs")
    key = desk.folder / "operator-0.key"
    assert (await desk.ask("harbour", "federation", "join", file, "--key", key))[0] == 0
    code, out, _ = await desk.run("governance", "list", "--url", desk.urls["harbour"])
    assert code == 0
    assert f"admit cluster {json.loads(file.read_text())['cluster_id']} as customs" in out


async def test_a_cluster_that_was_left_is_retired(desk: Desk) -> None:
    await desk.decide("harbour", "federation", "join", await desk.invite("customs"))
    await desk.decide("harbour", "federation", "leave", "customs")
    _, listed = await desk.ask("harbour", "federation", "list")
    assert [c["status"] for c in listed["clusters"]] == ["retired"]


async def test_what_members_of_a_cluster_may_read_is_granted_and_taken_back(desk: Desk) -> None:
    await desk.decide("harbour", "federation", "join", await desk.invite("customs"))
    words = ("federation", "grant", "customs")
    for prefixes, told in (
        (("records/", "records/a/", "--list", "--role", "client"), "records/a/* and list (roles client)"),
        ((), "may read nothing"),
    ):
        proposal = await desk.decide("harbour", *words, *prefixes)
        code, out, _ = await desk.run("governance", "show", proposal, "--url", desk.urls["harbour"])
        assert code == 0
        assert told in out
    key = ("--key", desk.folder / "operator-0.key", "--url", desk.urls["harbour"])
    code, _, err = await desk.run(*words, "", *key)
    assert (code, "cannot be granted" in err) == (Exit.USAGE, True)


async def test_a_record_is_shared_with_a_cluster_by_its_name(desk: Desk) -> None:
    await desk.decide("harbour", "federation", "join", await desk.invite("customs"), "--records")
    write_key(desk.folder / "member.key", b"\x31" * 32)
    key = ("--key", desk.folder / "member.key")
    put = ("tx", "put", "port/manifest", "--sha256", "ab" * 32, "--size", 7)
    assert (await desk.ask("harbour", *put, *key))[0] == 0
    code, shared = await desk.ask("harbour", "tx", "share", "port/manifest", "customs", *key)
    assert code == 0, shared
    code, lanes = await desk.ask("harbour", "lanes", "customs")
    assert (code, lanes["clusters"][0]["lanes"][0]["pending"]) == (0, 1)


async def test_a_record_of_another_cluster_is_asked_for_by_its_name(desk: Desk) -> None:
    await desk.decide("harbour", "federation", "join", await desk.invite("customs"), "--records")
    write_key(desk.folder / "member.key", b"\x31" * 32)
    key = ("--key", desk.folder / "member.key")
    for words in (("customs/records/port/manifest",), ("port/tide", "--cluster", "customs")):
        code, asked = await desk.ask("harbour", "tx", "request", *words, *key)
        assert code == 0, asked
    code, lanes = await desk.ask("harbour", "lanes", "customs")
    (lane,) = lanes["clusters"][0]["lanes"]
    assert (lane["port"], lane["pending"]) == ("records.request", 2)
    for words, told in (
        (("customs/registry/x",), "no record"),
        (("harbour/records/port/x",), "this cluster itself"),
        (("customs",), "sector.cluster/app/resource"),
    ):
        code, _, err = await desk.run("tx", "request", *words, *key, "--url", desk.urls["harbour"])
        assert (code, told in err) == (Exit.USAGE, True), err


async def test_people_read_tables(desk: Desk) -> None:
    url = desk.urls["harbour"]
    assert "no cluster was admitted" in (await desk.run("federation", "list", "--url", url))[1]
    assert "nothing is anchored" in (await desk.run("anchors", "--url", url))[1]
    await desk.decide("harbour", "federation", "join", await desk.invite("customs"))
    assert "customs" in (await desk.run("federation", "list", "--url", url))[1]
    assert "anchored at" in (await desk.run("anchors", "--url", url))[1]
    assert "nothing was said" in (await desk.run("lanes", "--url", url))[1]


async def test_an_unknown_cluster_is_told_with_those_there_are(desk: Desk) -> None:
    code, _, err = await desk.run("lanes", "customs", "--url", desk.urls["harbour"])
    assert (code, "federation join" in err) == (Exit.NEGATIVE, True)
    await desk.decide("harbour", "federation", "join", await desk.invite("customs"))
    code, _, err = await desk.run("anchors", "custom", "--url", desk.urls["harbour"])
    assert (code, "there are customs" in err) == (Exit.NEGATIVE, True)


async def test_another_id_than_expected_is_refused_before_anything_is_proposed(desk: Desk) -> None:
    file = await desk.invite("customs")
    words = ("federation", "join", file, "--expect", "ab" * 32, "--key", desk.folder / "operator-0.key")
    code, _, err = await desk.run(*words, "--url", desk.urls["harbour"])
    assert (code, "not of the expected" in err) == (Exit.NEGATIVE, True)
    _, open_now = await desk.ask("harbour", "governance", "list")
    assert open_now["proposals"] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cluster_id", "ab" * 32),
        ("name", "harbour"),
        ("version", 2),
        ("isthmus", "genesis"),
        ("genesis", "zz"),
        ("genesis", "90"),
        ("addresses", [{"node_key": "ab", "host": "h", "port": 1}]),
        ("addresses", [{"node_key": "ab" * 32, "host": "h", "port": 70_000}]),
        ("addresses", 7),
        ("more", "of it"),
    ],
)
async def test_a_changed_invitation_is_none(desk: Desk, name: str, value: object) -> None:
    file = await desk.invite("customs")
    document = json.loads(file.read_text())
    file.write_text(json.dumps({**document, name: value}))
    code, _, err = await desk.run("federation", "join", file, "--key", desk.folder / "operator-0.key")
    assert (code, "is no invitation" in err) == (Exit.USAGE, True)


@pytest.mark.parametrize("address", ["node-9=h:1", "node-1=h", "node-1=h:x", "node-1=:5", "node-1=h:0"])
async def test_a_wrong_address_is_told(desk: Desk, address: str) -> None:
    words = ("federation", "invite", "--out", desk.folder / "i.json", "--address", address)
    code, _, err = await desk.run(*words, "--url", desk.urls["customs"])
    assert (code, "NODE=HOST:PORT" in err) == (Exit.USAGE, True)
    assert not (desk.folder / "i.json").exists()


def test_without_a_terminal_the_table_is_shown_again_only_when_a_status_changes(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w+") as file:
        screen = Screen(Console(file=file, width=120))
        with screen.shown():
            screen.show((Sight("local.a", 7, "local.b", None, 0),))
            screen.show((Sight("local.a", 8, "local.b", None, 0),))
            screen.show((Sight("local.a", None, "local.b", None, 0),))
        file.seek(0)
        text = file.read()
    assert (text.count("not admitted"), text.count("no answer")) == (1, 1)
