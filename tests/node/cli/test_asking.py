"""Commands that talk to a node, through the real HTTP door over the real ledger (without agreement)."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio

from consensus import SigningKey
from node.cli.main import run
from node.home import write_key
from node.local.ports import free_ports
from node.wallet import Wallet
from tests.node.api.fake_backend import MEMBER_KEY, START_MS, FakeBackend
from tests.node.api.live import serving

MEMBER_SEED = b"\x31" * 32


@dataclass
class Desk:
    """A served node, a member's key file, and the command line."""

    backend: FakeBackend
    url: str
    folder: Path
    capture: pytest.CaptureFixture[str]

    @property
    def trust(self) -> str:
        return self.backend.genesis.cluster_id.hex()

    async def run(self, *arguments: object) -> tuple[int, str, str]:
        """(exit code, standard output, standard error) of a command line with --url."""
        words = [*(str(argument) for argument in arguments), "--url", self.url]
        code = await trio.to_thread.run_sync(run, words)
        captured = self.capture.readouterr()
        return code, captured.out, captured.err

    async def json(self, *arguments: object) -> tuple[int, dict[str, Any]]:
        """(exit code, the answer) under --json, verified against the genesis."""
        code, out, _ = await self.run(*arguments, "--trust", self.trust, "--json")
        return code, json.loads(out)

    async def put(self, record_id: str, path: Path, *more: object) -> dict[str, Any]:
        """A record that must be accepted."""
        key = self.folder / "member.key"
        code, answer = await self.json("tx", "put", record_id, path, "--key", key, *more)
        assert (code, answer["ok"]) == (0, True)
        return answer

    @property
    def key(self) -> Path:
        return self.folder / "member.key"


@pytest.fixture
async def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Desk]:
    backend = FakeBackend()
    tmp_path.chmod(0o700)
    write_key(tmp_path / "member.key", MEMBER_SEED)
    async with serving(backend) as live:
        yield Desk(backend, live.url, tmp_path, capsys)


@pytest.fixture
def paper(tmp_path: Path) -> Path:
    path = tmp_path / "paper.txt"
    path.write_text("the first words")
    return path


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake cluster lives in 2023: signatures expire by its clock, not by ours."""
    monkeypatch.setattr("time.time_ns", lambda: START_MS * 1_000_000)


async def test_a_record_is_put_read_superseded_and_its_history_verified(desk: Desk, paper: Path) -> None:
    answer = await desk.put(
        "docs/paper", paper, "--schema", "text", "--label", "tongue=en", "--link", "docs/other"
    )
    assert (answer["state"], answer["height"], answer["result"]) == ("certified", 1, 1)
    code, read = await desk.json("query", "record", "docs/paper")
    assert (code, read["verified"]) == (0, True)
    assert read["record"]["labels"] == {"tongue": "en"}
    assert read["record"]["links"] == ["docs/other"]
    paper.write_text("better words")
    code, answer = await desk.json("tx", "supersede", "docs/paper", paper, "--key", desk.key)
    assert (code, answer["result"]) == (0, 2)
    code, history = await desk.json("query", "history", "docs/paper")
    assert [version["version"] for version in history["versions"]] == [2, 1]
    assert history["versions"][1]["sha256"] == read["record"]["sha256"]


async def test_a_transaction_and_a_header_are_read_with_verification(desk: Desk, paper: Path) -> None:
    answer = await desk.put("docs/paper", paper)
    code, read = await desk.json("query", "tx", answer["transaction"])
    assert (code, read["ok"], read["method"], read["verified"]) == (0, True, "put", True)
    assert read["args"][0] == "docs/paper"
    code, header = await desk.json("query", "header")
    assert (code, header["height"], header["verified"]) == (0, 1, True)
    assert (await desk.json("query", "header", 1))[1] == header


async def test_a_refused_transaction_is_exit_4_and_says_why(desk: Desk, paper: Path) -> None:
    await desk.put("docs/paper", paper)
    code, out, err = await desk.run("tx", "put", "docs/paper", paper, "--key", desk.key, "--json")
    assert code == 4
    assert json.loads(out)["code"] == "record-exists"
    assert "supersede it, or choose another id" in err


async def test_a_key_that_is_no_member_is_refused_with_the_way_out(desk: Desk, paper: Path) -> None:
    write_key(desk.folder / "stranger.key", b"\x77" * 32)
    code, _, err = await desk.run("tx", "put", "docs/p", paper, "--key", desk.folder / "stranger.key")
    assert code == 4
    assert "have an admin register it" in err


async def test_a_stale_supersede_is_refused(desk: Desk, paper: Path) -> None:
    await desk.put("docs/paper", paper)
    words = ("tx", "supersede", "docs/paper", paper, "--key", desk.key, "--previous")
    assert (await desk.json(*words, "7"))[0] == 4
    assert (await desk.json(*words, "00" * 32))[0] == 4
    assert (await desk.json(*words, "1"))[0] == 0


async def test_superseding_what_is_not_there_is_a_negative_answer(desk: Desk, paper: Path) -> None:
    code, _, err = await desk.run("tx", "supersede", "docs/none", paper, "--key", desk.key)
    assert (code, "docs/none" in err) == (1, True)


async def test_without_waiting_the_id_is_told(desk: Desk, paper: Path) -> None:
    desk.backend.hold = True
    code, answer = await desk.json("tx", "put", "docs/p", paper, "--key", desk.key, "--no-wait")
    assert (code, answer["state"]) == (0, "admitted")
    code, _, _ = await desk.run("query", "tx", answer["transaction"])
    assert code == 1
    desk.backend.commit()
    assert (await desk.json("query", "tx", answer["transaction"]))[1]["ok"] is True


async def test_a_wait_that_is_over_is_exit_8_and_nothing_is_lost(desk: Desk, paper: Path) -> None:
    desk.backend.hold = True
    code, _, err = await desk.run("tx", "put", "docs/p", paper, "--key", desk.key, "--timeout", 1)
    assert code == 8
    assert "was taken but not certified" in err


@pytest.mark.parametrize("as_hex", [False, True])
async def test_a_transaction_signed_elsewhere_is_sent_as_it_is(desk: Desk, as_hex: bool) -> None:
    genesis = desk.backend.genesis
    wallet = Wallet(
        MEMBER_KEY, genesis.cluster_id, random=lambda size: b"\x05" * size, now_ms=lambda: START_MS
    )
    content = ("docs/raw", b"\x01" * 32, 5, "", "", (), ())
    transaction = wallet.sign("records", "put", content)
    path = desk.folder / "signed"
    path.write_bytes(transaction.encoded.hex().encode() if as_hex else transaction.encoded)
    code, answer = await desk.json("tx", "raw", path)
    assert (code, answer["transaction"]) == (0, transaction.id.hex())


async def test_bytes_that_are_no_transaction_are_refused_before_they_are_sent(desk: Desk) -> None:
    path = desk.folder / "junk"
    path.write_bytes(b"\xff\xfe")
    code, _, err = await desk.run("tx", "raw", path)
    assert (code, desk.backend.submissions) == (4, 0)
    assert "these bytes are no transaction" in err


async def test_content_must_be_named_once(desk: Desk, paper: Path) -> None:
    assert (await desk.run("tx", "put", "docs/p", "--key", desk.key))[0] == 2
    assert (await desk.run("tx", "put", "docs/p", paper, "--sha256", "00" * 32, "--key", desk.key))[0] == 2
    assert (await desk.run("tx", "put", "docs/p", "--sha256", "00" * 32, "--key", desk.key))[0] == 2
    words = ("tx", "put", "docs/p", "--sha256", "00" * 32, "--size", 5, "--key", desk.key)
    assert (await desk.json(*words))[0] == 0


async def test_signing_without_a_key_says_how_to_name_one(desk: Desk, paper: Path) -> None:
    code, _, err = await desk.run("tx", "put", "docs/p", paper)
    assert (code, "--key FILE" in err) == (2, True)


async def test_what_is_not_there_is_exit_1_and_its_absence_is_proven(desk: Desk, paper: Path) -> None:
    await desk.put("docs/paper", paper)
    code, answer = await desk.json("query", "record", "docs/none")
    assert (code, answer["record"], answer["verified"]) == (1, None, True)
    assert (await desk.run("query", "record", "docs/none"))[0] == 1
    assert (await desk.run("query", "tx", "00" * 32))[0] == 1


async def test_a_node_of_another_cluster_is_not_believed(desk: Desk, paper: Path) -> None:
    await desk.put("docs/paper", paper)
    code, _, err = await desk.run("query", "record", "docs/paper", "--trust", "11" * 32)
    assert code == 1
    assert "pinned is " + "11" * 32 in err


async def test_a_proof_is_exported_and_verified_offline(desk: Desk, paper: Path) -> None:
    answer = await desk.put("docs/paper", paper)
    out = desk.folder / "p.bundle"
    code, exported = await desk.json("prove", "record", "docs/paper", "--out", out)
    assert (code, exported["bytes"]) == (0, out.stat().st_size)
    verify = ["verify", str(out), "--trust", desk.trust]
    assert run([*verify, "--json"]) == 0
    verdict = json.loads(desk.capture.readouterr().out)
    assert verdict["content"]["version"] == 1
    assert verdict["not_checked"]
    assert run(verify) == 0
    text = desk.capture.readouterr().out
    assert "NOT CHECKED:" in text
    assert "Freshness" in text
    tx_out = desk.folder / "t.bundle"
    assert (await desk.json("prove", "tx", answer["transaction"], "--out", tx_out))[0] == 0
    assert run(["verify", str(tx_out), "--trust", desk.trust, "--json"]) == 0
    verdict = json.loads(desk.capture.readouterr().out)
    assert verdict["content"] == {
        "transaction": answer["transaction"],
        "call": "records.put",
        "outcome": "ok",
    }


async def test_a_proof_is_never_written_over_a_file(desk: Desk, paper: Path) -> None:
    await desk.put("docs/paper", paper)
    code, _, err = await desk.run("prove", "record", "docs/paper", "--out", paper)
    assert (code, "never overwritten" in err) == (2, True)
    assert paper.read_text() == "the first words"


async def test_a_proof_of_absence_is_told_as_one(desk: Desk, paper: Path) -> None:
    await desk.put("docs/paper", paper)
    code, _, err = await desk.run("prove", "record", "docs/never", "--out", desk.folder / "never.bundle")
    assert code == 0
    assert "there is no record docs/never: the file proves its absence" in " ".join(err.split())
    _, _, err = await desk.run("prove", "record", "docs/paper", "--out", desk.folder / "paper.bundle")
    assert "absence" not in err


async def test_damaged_and_foreign_proofs_are_exit_1_with_the_step_that_failed(
    desk: Desk, paper: Path
) -> None:
    await desk.put("docs/paper", paper)
    out = desk.folder / "p.bundle"
    await desk.json("prove", "record", "docs/paper", "--out", out)
    good = out.read_bytes()
    assert run(["verify", str(out), "--trust", "22" * 32]) == 1
    assert "genesis: the bundle's genesis has the hash" in desk.capture.readouterr().out
    for position in range(0, len(good), 97):
        out.write_bytes(good[:position] + bytes((good[position] ^ 4,)) + good[position + 1 :])
        assert run(["verify", str(out), "--trust", desk.trust, "--json"]) == 1
        assert json.loads(desk.capture.readouterr().out)["verified"] is False


async def test_a_checkpoint_and_a_time_can_be_demanded(desk: Desk, paper: Path) -> None:
    await desk.put("docs/paper", paper)
    await desk.put("docs/second", paper)
    header = (await desk.json("query", "header", 1))[1]
    out = desk.folder / "p.bundle"
    await desk.json("prove", "record", "docs/paper", "--out", out, "--checkpoint", 1)
    verify = ["verify", str(out), "--trust", desk.trust]
    assert run([*verify, "--checkpoint", f"1:{header['hash']}"]) == 0
    assert run([*verify, "--checkpoint", "1:" + "00" * 32]) == 1
    assert run([*verify, "--checkpoint", "nonsense"]) == 2
    assert run([*verify, "--not-before-ms", str(2**50)]) == 1


async def test_status_is_a_table_and_a_document(desk: Desk) -> None:
    code, out, _ = await desk.run("status", "--json")
    (node,) = json.loads(out)["nodes"]
    assert (code, node["ready"], node["reasons"]) == (0, True, [])
    assert node["status"]["cluster_id"] == desk.trust
    desk.backend.not_ready = ("only 1 of 3 peers is connected",)
    code, out, _ = await desk.run("status")
    assert code == 1
    assert "only 1 of 3 peers is connected" in out


async def test_status_without_any_answer_is_exit_3(desk: Desk) -> None:
    nobody = f"http://127.0.0.1:{free_ports(1)[0].api}"
    code = await trio.to_thread.run_sync(run, ["status", "--url", nobody, "--json"])
    (node,) = json.loads(desk.capture.readouterr().out)["nodes"]
    assert (code, node["status"]) == (3, None)
    assert "isthmus start" in node["reasons"][0]
    code, out, _ = await desk.run("status", "--url", nobody)
    assert (code, "no answer" in out) == (1, True)


def test_the_key_of_the_fake_cluster_is_the_one_we_write() -> None:
    assert SigningKey(MEMBER_SEED).public_key == MEMBER_KEY.public_key
