"""The doctor finds what would keep a node from starting or taking part, and changes nothing."""

import errno
import importlib.metadata
import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from node.cli.exits import Exit
from node.cli.main import run
from node.config import load_config
from node.daemon.keylock import KeyLock
from node.doctor import machine
from node.doctor.belongings import look_at_home
from node.doctor.finding import Finding, Grade
from node.doctor.kept import look_at_kept
from node.doctor.neighbours import look_at_neighbours
from node.home import Home
from node.local.ports import free_ports
from node.local.testnet import Testnet, write_testnet


@pytest.fixture
def testnet(tmp_path: Path) -> Testnet:
    seeds = iter(range(1, 100))
    return write_testnet(
        tmp_path / "net", "sick", free_ports(2), 1_750_000_000_000, lambda n: next(seeds).to_bytes(n, "big")
    )


def by_check(findings: list[Finding]) -> dict[str, Grade]:
    return {finding.check: finding.grade for finding in findings}


def home_of(testnet: Testnet) -> Home:
    return testnet.nodes[0].home


def grades(home: Home) -> dict[str, Grade]:
    return by_check(look_at_home(home, {})[1])


def files_of(home: Home) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(home.path)): (path.stat().st_mode, path.read_bytes())
        for path in sorted(home.path.rglob("*"))
        if path.is_file() and path != home.lock_file
    }


def test_a_new_home_is_in_order_and_stays_as_it_was(testnet: Testnet) -> None:
    before = files_of(home_of(testnet))
    found = grades(home_of(testnet))
    assert set(found.values()) == {Grade.GOOD}
    assert set(found) == {"config", "genesis", "node-key", "validator-key", "guard", "membership"}
    config = load_config(home_of(testnet), {}).config
    machine.look_at_machine(config, is_running=False)
    assert files_of(home_of(testnet)) == before


def test_each_broken_thing_is_found_and_hides_no_other(testnet: Testnet) -> None:
    home = home_of(testnet)
    home.validator_key_file.chmod(0o644)
    home.genesis_file.unlink()
    home.guard_file.unlink()
    with home.config_file.open("a") as file:
        file.write("\n[limits]\nconections = 3\n")
    found = grades(home)
    assert {found[check] for check in ("config", "genesis", "validator-key")} == {Grade.FAULT}
    assert found["node-key"] is Grade.GOOD
    home.validator_key_file.chmod(0o600)
    assert grades(home)["guard"] is Grade.FAULT


def remedies(home: Home) -> dict[str, str]:
    return {finding.check: finding.remedy for finding in look_at_home(home, {})[1]}


def test_a_key_that_is_whole_is_not_to_be_restored(testnet: Testnet) -> None:
    home = home_of(testnet)
    home.validator_key_file.chmod(0o644)
    assert "restore" not in remedies(home)["validator-key"]
    home.validator_key_file.unlink()
    assert "restore" in remedies(home)["validator-key"]


def test_where_there_is_no_home_nothing_is_to_be_edited(tmp_path: Path) -> None:
    assert "--home" in remedies(Home(tmp_path / "nowhere"))["config"]


def test_a_full_disk_is_not_told_as_one_that_belongs_to_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path) -> float:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(machine, "synced_write_ms", full)
    (sync,) = [found for found in machine.disk(tmp_path) if found.check == "disk-sync"]
    assert (sync.grade, sync.remedy) == (Grade.FAULT, "make room")


def test_a_home_with_the_keys_of_another_is_found(testnet: Testnet) -> None:
    first, second = (node.home for node in testnet.nodes)
    first.validator_key_file.write_bytes(second.validator_key_file.read_bytes())
    assert grades(first)["membership"] is Grade.FAULT
    first.node_key_file.write_text("isthmus-key-v1 " + "07" * 32 + "\n")
    assert grades(first)["membership"] is Grade.FAULT


def test_a_later_validator_is_in_order_only_as_one_that_joins(testnet: Testnet) -> None:
    home = home_of(testnet)
    home.node_key_file.write_text("isthmus-key-v1 " + "07" * 32 + "\n")
    home.validator_key_file.write_text("isthmus-key-v1 " + "08" * 32 + "\n")
    assert grades(home)["membership"] is Grade.FAULT
    text = home.config_file.read_text(encoding="utf-8")
    home.config_file.write_text(text.replace('role = "validator"', 'role = "joining"'), encoding="utf-8")
    assert grades(home)["membership"] is Grade.GOOD


def test_a_node_that_runs_is_left_alone(testnet: Testnet) -> None:
    home = home_of(testnet)
    with KeyLock.acquire(home.keys_dir):
        belongings, findings = look_at_home(home, {})
    assert belongings.is_running
    assert by_check(findings)["guard"] is Grade.SKIPPED
    config = load_config(home, {}).config
    assert {f.grade for f in machine.ports(config, is_running=True)} == {Grade.SKIPPED}


def test_a_taken_port_and_a_foreign_address_are_found(testnet: Testnet) -> None:
    config = load_config(home_of(testnet), {}).config
    assert by_check(machine.ports(config, is_running=False)) == {
        "p2p-port": Grade.GOOD,
        "api-port": Grade.GOOD,
    }
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", config.p2p.port))
        taken.listen()
        assert by_check(machine.ports(config, is_running=False))["p2p-port"] is Grade.FAULT
    elsewhere = replace(config, api=replace(config.api, host="192.0.2.1"))
    assert by_check(machine.ports(elsewhere, is_running=False))["api-port"] is Grade.FAULT


def test_a_full_disk_and_a_read_only_one_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "DISK_FAULT_BYTES", 2**70)
    assert by_check(machine.disk(tmp_path))["disk-space"] is Grade.FAULT
    monkeypatch.setattr(machine, "DISK_FAULT_BYTES", 0)
    monkeypatch.setattr(machine, "DISK_WARNING_BYTES", 2**70)
    assert by_check(machine.disk(tmp_path))["disk-space"] is Grade.WARNING
    monkeypatch.setattr(machine, "SYNC_WARNING_MS", -1.0)
    assert by_check(machine.disk(tmp_path))["disk-sync"] is Grade.WARNING
    assert list(tmp_path.iterdir()) == []
    assert by_check(machine.disk(Path("/proc")))["disk-sync"] is Grade.FAULT


def test_what_other_machines_cannot_reach_is_told(testnet: Testnet) -> None:
    config = load_config(home_of(testnet), {}).config
    assert machine.reach(config) == []
    away = replace(config.p2p.peers[0], host="quay.example")
    elsewhere = replace(config, p2p=replace(config.p2p, peers=(away,)))
    assert by_check(machine.reach(elsewhere)) == {"p2p-host": Grade.WARNING}
    everywhere = replace(elsewhere, p2p=replace(elsewhere.p2p, host="0.0.0.0"))
    assert machine.reach(everywhere) == []
    for host in ("0.0.0.0", "::"):
        nameless = replace(config, api=replace(config.api, host=host))
        assert by_check(machine.reach(nameless)) == {"api-names": Grade.WARNING}
        assert machine.reach(replace(nameless, api=replace(nameless.api, allowed_hosts=("a.example",)))) == []


def test_another_distribution_with_one_of_our_packages_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.python_packages().grade is Grade.GOOD
    monkeypatch.setattr(
        importlib.metadata,
        "packages_distributions",
        lambda: {"node": ["isthmus", "node"], "p2p": ["isthmus"]},
    )
    found = machine.python_packages()
    assert (found.grade, "pip uninstall node" in found.remedy) == (Grade.FAULT, True)


def test_a_python_built_without_optimisations_is_told_and_a_distributions_own_is_not() -> None:
    plain, optimised = "'--enable-shared'", "'--enable-shared' '--enable-optimizations'"
    assert machine.interpreter("/usr", plain).grade is Grade.GOOD
    assert machine.interpreter("/opt/python", optimised).grade is Grade.GOOD
    found = machine.interpreter("/opt/python", plain)
    assert (found.check, found.grade) == ("interpreter", Grade.WARNING)
    assert "--enable-optimizations" in found.remedy


def test_limits_of_the_process_are_compared_with_the_settings(testnet: Testnet) -> None:
    config = load_config(home_of(testnet), {}).config
    assert (
        machine.open_files(replace(config, limits=replace(config.limits, connections=10**9))).grade
        is Grade.WARNING
    )
    assert machine.map_size(config).grade is Grade.GOOD
    assert machine.clock().grade in (Grade.GOOD, Grade.WARNING, Grade.SKIPPED)


def test_pruning_that_leaves_nothing_for_who_is_away_for_an_hour_is_found(testnet: Testnet) -> None:
    config = load_config(home_of(testnet), {}).config

    def told(keep: int) -> Finding:
        return look_at_kept(replace(config, storage=replace(config.storage, keep_blocks=keep)))

    assert told(0).grade is Grade.GOOD
    assert told(72_000).grade is Grade.GOOD
    found = told(1_000)
    assert found.grade is Grade.WARNING
    assert "1000 heights are kept; at 72000 an hour, as in a busy cluster, those last 50 s" in found.words
    assert "72000 or more, or keep one node" in found.remedy


async def test_peers_that_do_not_run_are_a_warning_and_nobody_to_dial_too(testnet: Testnet) -> None:
    belongings, _ = look_at_home(home_of(testnet), {})
    config, genesis, identity = belongings.config, belongings.genesis, belongings.identity
    assert config is not None
    assert genesis is not None
    assert identity is not None
    (found,) = await look_at_neighbours(config, genesis, identity, is_running=False)
    assert (found.grade, "node1" in found.words) == (Grade.WARNING, True)
    alone = replace(config, p2p=replace(config.p2p, peers=()))
    (found,) = await look_at_neighbours(alone, genesis, identity, is_running=False)
    assert found.grade is Grade.WARNING
    (found,) = await look_at_neighbours(config, genesis, identity, is_running=True)
    assert found.grade is Grade.SKIPPED


def test_the_command_answers_scripts_and_people(testnet: Testnet, capsys: pytest.CaptureFixture[str]) -> None:
    home = str(home_of(testnet).path)
    assert run(["doctor", "--home", home, "--no-peers", "--json"]) == Exit.OK
    document = json.loads(capsys.readouterr().out)
    assert (document["ok"], document["faults"]) == (True, 0)
    home_of(testnet).genesis_file.unlink()
    assert run(["doctor", "--home", home, "--no-peers"]) == Exit.NEGATIVE
    told = capsys.readouterr().out
    assert "genesis.json is missing" in told
    assert "it would not take part" in told
