"""`isthmus genesis`: four homes that never share a key end in one cluster id, and bad input in sentences."""

import json
import re
import stat
from pathlib import Path

import pytest

from consensus import SigningKey
from node.cli.exits import Exit
from node.cli.main import run
from node.config import load_config
from node.home import Home


def ok(*arguments: object) -> None:
    assert run([str(argument) for argument in arguments]) == Exit.OK


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    capsys.readouterr()
    code = run([str(argument) for argument in arguments])
    return code, capsys.readouterr().err


@pytest.fixture
def joined(tmp_path: Path) -> tuple[Path, list[Path], list[Path]]:
    """The plan, the homes and the entries of three organisations."""
    plan = tmp_path / "plan.json"
    ok("genesis", "new", "health", "--param", "heartbeat_ms=30000", "--out", plan)
    homes, entries = [], []
    for number in range(3):
        home, entry = tmp_path / f"home{number}", tmp_path / f"{number}.entry.json"
        ok("init", "--home", home, "--name", f"node{number}", "--port", 28000 + number)
        arguments = ("--home", home, "--organisation", f"org{number}", "--host", f"n{number}.example")
        ok("genesis", "join", plan, *arguments, "--out", entry)
        homes.append(home)
        entries.append(entry)
    return plan, homes, entries


def test_everybody_comes_to_the_same_genesis_and_knows_the_others(
    joined: tuple[Path, list[Path], list[Path]],
) -> None:
    plan, homes, entries = joined
    for number, home in enumerate(homes):
        ok("genesis", "collect", plan, *entries[number:], *entries[:number], "--home", home)
    assert len({(home / "config" / "genesis.json").read_bytes() for home in homes}) == 1
    for number, home in enumerate(homes):
        peers = load_config(Home(home), {}).config.p2p.peers
        assert [(peer.name, peer.host, peer.port) for peer in peers] == [
            (f"node{other}", f"n{other}.example", 28000 + other) for other in range(3) if other != number
        ]
        assert stat.S_IMODE((home / "keys" / "operator.key").stat().st_mode) == 0o600


def test_no_document_holds_a_secret(joined: tuple[Path, list[Path], list[Path]]) -> None:
    _, homes, entries = joined
    for home in homes:
        for file in (home / "keys").glob("*.key"):
            seed = file.read_text().split()[1]
            assert all(seed not in entry.read_text() for entry in entries)


def test_an_outsider_may_compute_the_genesis_but_installs_it_nowhere(
    joined: tuple[Path, list[Path], list[Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, homes, entries = joined
    ok("genesis", "collect", plan, *entries, "--out", tmp_path / "genesis.json")
    ok("genesis", "collect", plan, *entries, "--home", homes[0])
    assert (tmp_path / "genesis.json").read_bytes() == (homes[0] / "config" / "genesis.json").read_bytes()
    ok("init", "--home", tmp_path / "outsider", "--name", "outsider")
    code, words = said(capsys, "genesis", "collect", plan, *entries, "--home", tmp_path / "outsider")
    assert (code, "none of the entries" in words) == (Exit.CONFIGURATION, True)


def test_a_second_collect_never_replaces_a_genesis(
    joined: tuple[Path, list[Path], list[Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    plan, homes, entries = joined
    ok("genesis", "collect", plan, *entries, "--home", homes[0])
    before = (homes[0] / "config" / "config.toml").read_bytes()
    code, words = said(capsys, "genesis", "collect", plan, *entries[:2], "--home", homes[0])
    assert (code, "never overwritten" in words) == (Exit.CONFIGURATION, True)
    assert (homes[0] / "config" / "config.toml").read_bytes() == before


def test_a_changed_entry_is_named_with_its_file(
    joined: tuple[Path, list[Path], list[Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    plan, homes, entries = joined
    document = json.loads(entries[1].read_text())
    document["host"] = "evil.example"
    entries[1].write_text(json.dumps(document))
    code, words = said(capsys, "genesis", "collect", plan, *entries, "--home", homes[0])
    assert (code, "node1 is not signed by its operator key" in words) == (Exit.CONFIGURATION, True)
    entries[1].write_text("{")
    code, words = said(capsys, "genesis", "collect", plan, *entries, "--home", homes[0])
    assert (code, str(entries[1]) in words) == (Exit.CONFIGURATION, True)


def test_members_and_parameters_are_checked_where_they_are_written(
    joined: tuple[Path, list[Path], list[Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, homes, _ = joined
    for text in ("ana", "ana:client:zz", "ana:client", "Ana!:client:" + "00" * 32):
        out = tmp_path / "new.json"
        code, _ = said(
            capsys,
            "genesis",
            "join",
            plan,
            "--home",
            homes[0],
            "--organisation",
            "o",
            "--member",
            text,
            "--out",
            out,
        )
        assert (code, out.exists()) == (Exit.USAGE, False)
    for host in ("http://n0.example", "n0.example:27600", "10.0.0.1:27600", "n 0", "n0/x", ""):
        arguments = (
            "--home",
            homes[0],
            "--organisation",
            "o",
            "--host",
            host,
            "--out",
            tmp_path / "new.json",
        )
        code, err = said(capsys, "genesis", "join", plan, *arguments)
        assert (code, (tmp_path / "new.json").exists()) == (Exit.USAGE, False), host
        assert "--port" in err
    for text in ("x=1", "heartbeat_ms", "heartbeat_ms=-1", "heartbeat_ms=0"):
        code, _ = said(capsys, "genesis", "new", "n", "--param", text, "--out", tmp_path / "p.json")
        assert code == Exit.USAGE
    good = f"ana:client,doctor:{SigningKey(bytes(32)).public_key.hex()}"
    ok(
        "genesis", "join", plan, "--home", homes[0], "--organisation", "org0", "--member", good,
        "--out", tmp_path / "with-member.json",
    )  # fmt: skip


def test_an_observer_has_no_entry(
    joined: tuple[Path, list[Path], list[Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ok("init", "--home", tmp_path / "observer", "--role", "observer")
    code, words = said(
        capsys, "genesis", "join", joined[0], "--home", tmp_path / "observer", "--organisation", "o"
    )
    assert (code, "observer's home" in words) == (Exit.CONFIGURATION, True)


def test_who_joins_with_loopback_addresses_is_warned_that_no_other_machine_reaches_it(
    joined: tuple[Path, list[Path], list[Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, homes, _ = joined
    both = ("genesis", "join", plan, "--home", homes[0], "--organisation", "org0")
    code, words = said(capsys, *both, "--out", tmp_path / "a.json")
    assert code == Exit.OK
    assert "others are told to dial 127.0.0.1" in words
    assert "this node listens on 127.0.0.1 alone" in words
    _, words = said(capsys, *both, "--host", "n0.example", "--out", tmp_path / "b.json")
    assert "others are told" not in words
    assert "this node listens on 127.0.0.1 alone" in words
    config = homes[0] / "config" / "config.toml"
    config.write_text(config.read_text().replace("[p2p]", '[p2p]\nhost = "0.0.0.0"'))
    _, words = said(capsys, *both, "--host", "n0.example", "--out", tmp_path / "c.json")
    assert "WARNING" not in words


def test_a_plan_has_a_name_that_a_genesis_can_have(
    joined: tuple[Path, list[Path], list[Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("Har bour", "Harbour", "", "x" * 65):
        code, err = said(capsys, "genesis", "new", name, "--out", tmp_path / "p.json")
        assert (code, (tmp_path / "p.json").exists()) == (Exit.USAGE, False)
        assert "cluster name" in err
    plan, homes, entries = joined
    plan.write_text(plan.read_text().replace('"health"', '"He alth"'))
    code, err = said(capsys, "genesis", "collect", plan, *entries, "--home", homes[0])
    assert (code, "cluster name" in err) == (Exit.CONFIGURATION, True)


def test_ipv6_addresses_may_be_dialled(joined: tuple[Path, list[Path], list[Path]], tmp_path: Path) -> None:
    plan, homes, _ = joined
    arguments = ("--home", homes[0], "--organisation", "o", "--host", "2001:db8::7")
    ok("genesis", "join", plan, *arguments, "--out", tmp_path / "six.json")
    assert json.loads((tmp_path / "six.json").read_text())["host"] == "2001:db8::7"


def test_the_address_of_all_addresses_is_one_that_nobody_can_dial(
    joined: tuple[Path, list[Path], list[Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, homes, _ = joined
    for host in ("0.0.0.0", "::"):
        config = homes[0] / "config" / "config.toml"
        config.write_text(re.sub(r'host = "[^"]*"', f'host = "{host}"', config.read_text(), count=1))
        out = tmp_path / f"{host.count(':')}.json"
        code, err = said(
            capsys, "genesis", "join", plan, "--home", homes[0], "--organisation", "o", "--out", out
        )
        assert code == Exit.OK
        assert f"others are told to dial {host}" in err


def test_a_peer_that_moved_since_it_was_written_down_is_told(
    joined: tuple[Path, list[Path], list[Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, homes, entries = joined
    ok("genesis", "collect", plan, *entries, "--home", homes[0])
    (homes[0] / "config" / "genesis.json").unlink()
    moved = tmp_path / "moved.json"
    arguments = ("--home", homes[1], "--organisation", "org1", "--host", "new.example", "--out", moved)
    ok("genesis", "join", plan, *arguments)
    code, err = said(capsys, "genesis", "collect", plan, entries[0], moved, entries[2], "--home", homes[0])
    assert code == Exit.OK
    assert "has node1 at n1.example:28001 already, and its entry says new.example:28001" in " ".join(
        err.split()
    )
    assert "node2" not in err
