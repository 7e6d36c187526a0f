"""`isthmus governance` through the real HTTP door over the real ledger (without agreement)."""

import json
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from consensus import Digest, PublicKey, SigningKey
from node.anchoring.lanes.messages import Mode
from node.api import governance_queries
from node.api.governance_queries import KINDS, change_fields
from node.api.shapes import to_json
from node.cli.changefile import EXAMPLES, read_changes
from node.cli.exits import Exit
from node.cli.federation_changes import FEDERATION_WORDS, in_words
from node.cli.invitation import Invitation
from node.cli.main import run
from node.home import Home, write_key
from node.ledger.federation.changes import ApproveRecovery, RetireCluster, SetLanePolicy, SetReaders
from node.ledger.federation.records import Address, LanePolicy
from node.local.newnode import NodeSetup, create_keys, write_setup
from node.local.ports import free_ports
from tests.node.api.fake_backend import START_MS, FakeBackend, make_genesis
from tests.node.api.live import serving

OPERATOR_SEEDS = tuple(bytes((number,)) * 32 for number in range(21, 25))
MEMBER_SEED = b"\x31" * 32


@dataclass
class Chamber:
    """A served node, the operators' key files, and the command line."""

    backend: FakeBackend
    url: str
    folder: Path
    capture: pytest.CaptureFixture[str]

    def key(self, number: int) -> Path:
        """The key file of an operator."""
        return self.folder / f"operator-{number}.key"

    async def run(self, *arguments: object) -> tuple[int, str, str]:
        """(exit code, standard output, standard error) of `isthmus governance ...`."""
        words = ["governance", *(str(argument) for argument in arguments)]
        code = await trio.to_thread.run_sync(run, words)
        captured = self.capture.readouterr()
        return code, captured.out, captured.err

    async def ask(self, *arguments: object) -> tuple[int, Any]:
        """(exit code, the answer) under --json."""
        code, out, _ = await self.run(*arguments, "--url", self.url, "--json")
        return code, json.loads(out)

    async def send(self, number: int, *arguments: object) -> Any:
        """What an operator sends and the ledger takes."""
        code, answer = await self.ask(*arguments, "--key", self.key(number))
        assert (code, answer["ok"]) == (0, True), answer
        return answer


@pytest.fixture
async def chamber(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Chamber]:
    backend = FakeBackend()
    for number, seed in enumerate(OPERATOR_SEEDS):
        write_key(tmp_path / f"operator-{number}.key", seed)
    write_key(tmp_path / "member.key", MEMBER_SEED)
    async with serving(backend) as live:
        yield Chamber(backend, live.url, tmp_path, capsys)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake cluster lives in 2023: signatures expire by its clock, not by ours."""
    monkeypatch.setattr("time.time_ns", lambda: START_MS * 1_000_000)


async def test_a_weight_is_proposed_approved_and_takes_effect(chamber: Chamber) -> None:
    proposed = await chamber.send(0, "propose-weight", "node-3", 2)
    assert (proposed["executed"], proposed["approving_weight"], proposed["total_weight"]) == (False, 1, 4)
    code, listed = await chamber.ask("list")
    assert code == 0
    assert listed["proposals"][0]["decoded_changes"] == [{"kind": "weight", "name": "node-3", "weight": 2}]
    await chamber.send(1, "approve", proposed["proposal"])
    last = await chamber.send(2, "approve", proposed["proposal"])
    assert last["executed"]
    _, shown = await chamber.ask("show", proposed["proposal"])
    assert (shown["state"], shown["executed_height"]) == ("executed", 3)
    _, roster = await chamber.ask("validators")
    assert (roster["epoch"], [v["weight"] for v in roster["validators"]]) == (1, [1, 1, 1, 2])


async def test_a_node_describes_itself_joins_and_proves_that_it_is_synced(chamber: Chamber) -> None:
    home = Home(chamber.folder / "node4")
    (ports,) = free_ports(1)
    create_keys(home, "validator", partial(_random, iter(range(1, 9))))
    port = int(chamber.url.rpartition(":")[2])
    write_setup(home, NodeSetup("node-4", "validator", ports.p2p, port), chamber.backend.genesis.to_json())
    file = chamber.folder / "node-4.candidate.json"
    code, _, err = await chamber.run(
        "candidate", "--home", home.path, "--organisation", "Port", "--out", file
    )
    assert (code, file.exists()) == (Exit.USAGE, False)
    assert "'Port' must be 1 to 64 characters of a-z" in err
    code, out, _ = await chamber.run(
        "candidate", "--home", home.path, "--organisation", "port", "--out", file, "--json"
    )
    described = json.loads(out)
    assert code == 0
    assert stat.S_IMODE((home.keys_dir / "operator.key").stat().st_mode) == 0o600
    proposed = await chamber.send(0, "propose-add", file)
    assert proposed["missing_joiners"] == 1
    await chamber.send(1, "approve", proposed["proposal"])
    assert not (await chamber.send(2, "approve", proposed["proposal"]))["executed"]
    proving = ("ready", proposed["proposal"], "--home", home.path, "--key", chamber.folder / "member.key")
    code, out, err = await chamber.run(*proving, "--json")
    assert code == 0, err
    assert json.loads(out)["executed"]
    _, roster = await chamber.ask("validators")
    assert roster["validators"][4]["public_key"] == described["consensus_key"]
    assert roster["validators"][4]["operator_key"] == described["operator_key"]


async def test_a_rotation_a_removal_and_a_withdrawal_are_proposed(chamber: Chamber) -> None:
    new = SigningKey(b"\x77" * 32).public_key.hex()
    rotated = await chamber.send(0, "propose-rotate", "node-1", "--operator-key", new)
    removed = await chamber.send(0, "propose-remove", "node-3")
    code, shown, _ = await chamber.run("show", rotated["proposal"], "--url", chamber.url)
    assert code == 0
    assert f"rotate node-1 {new}" in shown
    withdrawn = await chamber.send(0, "withdraw", removed["proposal"])
    assert "proposal" not in withdrawn
    code, _ = await chamber.ask("show", removed["proposal"])
    assert code == Exit.NEGATIVE


async def test_changes_of_every_kind_are_read_from_a_file_as_they_are_shown(chamber: Chamber) -> None:
    key = SigningKey(b"\x78" * 32).public_key.hex()
    member = {"public_key": key, "organisation": "ships", "roles": ["client"], "name": "mate"}
    policy = {"rule": "ANY", "organisations": ["port"], "roles": []}
    record = {
        "name": "node-9",
        "organisation": "ships",
        "consensus_key": SigningKey(b"\x79" * 32).public_key.hex(),
        "node_key": SigningKey(b"\x7a" * 32).public_key.hex(),
        "weight": 3,
        "operator_key": SigningKey(b"\x7b" * 32).public_key.hex(),
    }
    changes = [
        {"kind": "add-validator", "record": record},
        {"kind": "remove-validator", "name": "node-0"},
        {"kind": "weight", "name": "node-1", "weight": 2},
        {"kind": "rotate", "name": "node-2", "consensus_key": None, "node_key": key, "operator_key": None},
        {"kind": "set-member", "member": member | {"public_key": SigningKey(b"\x7c" * 32).public_key.hex()}},
        {"kind": "remove-member", "public_key": SigningKey(MEMBER_SEED).public_key.hex()},
        {"kind": "set-policy", "app": "records", "method": "put", "policy": policy},
    ]
    file = chamber.folder / "changes.json"
    file.write_text(json.dumps(changes))
    proposed = await chamber.send(0, "propose", file, "--sweeping")
    _, shown = await chamber.ask("show", proposed["proposal"])
    assert shown["decoded_changes"] == changes
    assert shown["sweeping"] is True


KEY = "58" + "66" * 31
"""The key of the examples."""


def write_invitation(folder: Path) -> Invitation:
    """The invitation that the example of an admission names."""
    invitation = Invitation(make_genesis("ports.beta").body, (Address(PublicKey(b"n" * 32), "h", 1),))
    (folder / EXAMPLES["admit-cluster"]["invitation"]).write_text(invitation.to_json())
    return invitation


async def test_every_example_is_a_change_file_and_comes_back_as_it_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    invitation = write_invitation(tmp_path)
    assert list(EXAMPLES) == list(KINDS.values())
    for kind in EXAMPLES:
        assert await trio.to_thread.run_sync(run, ["governance", "example", kind]) == 0
        file = tmp_path / "changes.json"
        file.write_text(capsys.readouterr().out)
        (change,) = read_changes(file)
        (example,) = json.loads(file.read_text())
        shown = to_json(change_fields(change))
        if kind == "admit-cluster":
            assert shown["cluster_id"] == invitation.identity.cluster_id.hex()
            continue
        assert shown == example


async def test_federation_changes_are_proposed_from_a_file_and_read_back_in_words(chamber: Chamber) -> None:
    invitation = write_invitation(chamber.folder)
    cluster_id = invitation.identity.cluster_id.hex()
    kinds = [
        kind
        for kind in EXAMPLES
        if kind in FEDERATION_WORDS and kind not in ("approve-recovery", "retire-cluster")
    ]
    changes = [
        {
            "kind": kind,
            **EXAMPLES[kind],
            **({"cluster_id": cluster_id} if "cluster_id" in EXAMPLES[kind] else {}),
        }
        for kind in kinds
    ]
    file = chamber.folder / "changes.json"
    file.write_text(json.dumps(changes))
    proposed = await chamber.send(0, "propose", file)
    code, out, _ = await chamber.run("show", proposed["proposal"], "--url", chamber.url)
    assert code == 0
    for words in (
        f"admit cluster {cluster_id} as ports.beta, 1 places to dial",
        f"lane records, unordered, with cluster {cluster_id}: send, receive 200 in 60000 ms",
        "the federation: 2 witnesses, anchor at least every 60000 ms, stale after 86400000 ms",
        f"vouch for header 1000:{KEY} of cluster {cluster_id}",
        f"members of cluster {cluster_id} may read records/berths/* and list (organisations harbour; roles",
        f"dial cluster {cluster_id} at {KEY} at node0.beta.example:27600",
    ):
        assert words in out


def test_other_federation_changes_have_words_too() -> None:
    cluster_id, recovery = Digest(b"\x11" * 32), Digest(b"\x22" * 32)
    assert in_words(RetireCluster(cluster_id)) == f"retire cluster {'11' * 32} for ever"
    told = in_words(ApproveRecovery(cluster_id, 1, recovery))
    assert told == f"approve recovery {'22' * 32} of cluster {'11' * 32} to incarnation 1"
    assert in_words(SetReaders(cluster_id, ())) == f"members of cluster {'11' * 32} may read nothing"
    closed = SetLanePolicy(cluster_id, "records", Mode.ORDERED, LanePolicy())
    assert in_words(closed).endswith("send nothing, receive nothing")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "no JSON"),
        ('[{"kind": "readers", "cluster_id": "11"}]', "must have exactly cluster_id, grants"),
        ('[{"kind": "readers", "cluster_id": "11", "grants": []}]', "id"),
        ('[{"kind": "readers", "cluster_id": "zz", "grants": []}]', "change 0"),
        ('[{"kind": "readers", "cluster_id": "11", "grants": 7}]', "grants must be a list"),
        ('[{"kind": "retire-cluster", "cluster_id": null}]', "cluster_id cannot be None"),
        ('[{"kind": "admit-cluster", "invitation": "not-there.json"}]', "not-there.json"),
        (
            '[{"kind": "lane-policy", "cluster_id": "11", "port": "p", "mode": "fast", "policy": '
            '{"may_send": true, "may_receive": true, "quota": null, "window_ms": 1000}}]',
            "mode must be one of ordered, unordered",
        ),
        (
            '[{"kind": "lane-policy", "cluster_id": "11", "port": "p", "mode": "ordered", "policy": '
            '{"may_send": 1, "may_receive": true, "quota": null, "window_ms": 1000}}]',
            "may_send must be true or false",
        ),
        ("{}", "a list of 1 to 16"),
        ("[]", "a list of 1 to 16"),
        ('[{"kind": "decree"}]', "kind must be one of add-validator"),
        ('["weight"]', "kind must be one of"),
        ('[{"kind": "weight", "name": "node-1"}]', "must have exactly name, weight"),
        ('[{"kind": "weight", "name": "node-1", "weight": 0}]', "weight"),
        ('[{"kind": "weight", "name": "node-1", "weight": 1.5}]', "weight cannot be 1.5"),
        ('[{"kind": "remove-member", "public_key": "xyz"}]', "change 0"),
        ('[{"kind": "remove-member", "public_key": 7}]', "public_key cannot be 7"),
    ],
)
async def test_a_file_of_the_wrong_form_is_refused_with_its_place(
    chamber: Chamber, content: str, says: str
) -> None:
    file = chamber.folder / "changes.json"
    file.write_text(content)
    code, _, err = await chamber.run("propose", file, "--url", chamber.url, "--key", chamber.key(0))
    assert code == Exit.USAGE
    assert says in err
    assert "changes.json" in err


async def test_a_refusal_of_the_ledger_is_told_with_the_way_out(chamber: Chamber) -> None:
    code, _, err = await chamber.run(
        "propose-remove", "node-9", "--url", chamber.url, "--key", chamber.key(0)
    )
    assert code == Exit.REFUSED
    assert "no validator has this name" in err
    code, answer = await chamber.ask("propose-weight", "node-1", 2, "--key", chamber.folder / "member.key")
    assert (code, answer["code"]) == (Exit.REFUSED, "not-operator")


async def test_a_rotation_to_nothing_and_a_proof_without_a_home_are_usage_errors(chamber: Chamber) -> None:
    common = ("--url", chamber.url, "--key", chamber.key(0))
    code, _, err = await chamber.run("propose-rotate", "node-1", *common)
    assert (code, "no new key" in err) == (Exit.USAGE, True)
    code, _, err = await chamber.run("ready", bytes(32).hex(), *common)
    assert (code, "--home" in err) == (Exit.USAGE, True)


async def test_a_node_that_shows_other_changes_than_the_id_binds_is_found_out(
    chamber: Chamber, monkeypatch: pytest.MonkeyPatch
) -> None:
    proposed = await chamber.send(0, "propose-weight", "node-3", 2)
    honest = governance_queries.proposal

    def lying(view: Any, proposal_id: bytes) -> governance_queries.ProposalAnswer:
        return replace(honest(view, proposal_id), sweeping=True)

    monkeypatch.setattr(governance_queries, "proposal", lying)
    code, _, err = await chamber.run(
        "approve", proposed["proposal"], "--url", chamber.url, "--key", chamber.key(1)
    )
    assert code == Exit.NEGATIVE
    assert "other changes than proposal" in err
    _, listed = await chamber.ask("list")
    assert listed["proposals"][0]["approving_weight"] == 1


def _random(numbers: Any, size: int) -> bytes:
    return bytes((next(numbers) + 100,)) * size
