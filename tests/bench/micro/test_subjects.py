"""Every subject can be made and run; names are found, and what fits nothing is refused in a sentence."""

import re
from contextlib import ExitStack
from pathlib import Path
from typing import get_args

import pytest

from bench.micro.registry import MODULES, Registry, UnknownSubject
from bench.micro.subject import Clock, Workshop, prepared, repeated
from consensus import Blocks, ChainSynced, Event, LedgerContradicted, Message, Received

REGISTRY = Registry.load()
NOT_TIMED = (ChainSynced, LedgerContradicted, Blocks)
"""Once in a catching up, once in a node's life, and of who misses a block alone: nothing a round costs."""
NOUNS = (
    "codec",
    "wire",
    "hash",
    "ed25519",
    "qc",
    "tc",
    "header-certificate",
    "anchor",
    "rfc6962",
    "smt",
    "lmdb",
    "journal",
    "step",
    "batch",
    "admission",
    "ledger",
    "gossip",
    "tls",
)


def test_every_file_of_subjects_is_registered_and_can_be_imported() -> None:
    folder = Path(__file__).resolve().parents[3] / "bench" / "micro" / "subjects"
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert files == set(MODULES)
    assert not REGISTRY.missing


def test_every_part_of_the_hot_path_has_subjects() -> None:
    assert {name.split("/")[0] for name in REGISTRY.subjects} == set(NOUNS)


def test_every_message_and_event_of_agreement_has_a_subject() -> None:
    messages = {name.split("/")[2] for name in REGISTRY.subjects if name.startswith("codec/decode/")}
    assert messages == {
        "proposal",
        "vote",
        "timeout",
        "header-signature",
        "status",
        "certificates-request",
        "certificates",
        "blocks-request",
        "blocks-8",
    }
    steps = {name.split("/")[1] for name in REGISTRY.subjects if name.startswith("step/")}
    told = {*get_args(Event), *get_args(Message)} - {Received, *NOT_TIMED}
    assert steps == {re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower() for kind in told}


def test_only_what_waits_for_a_disk_is_timed_by_the_wall() -> None:
    by_wall = {
        name.split("/")[0] for name, subject in REGISTRY.subjects.items() if subject.clock is Clock.WALL
    }
    assert by_wall == {"lmdb", "journal"}


@pytest.mark.parametrize("noun", NOUNS)
def test_every_subject_runs(noun: str, tmp_path: Path) -> None:
    for number, subject in enumerate(REGISTRY.choose([noun])):
        folder = tmp_path / str(number)
        folder.mkdir()
        with ExitStack() as stack:
            sampler = subject.make(Workshop(folder, subject.clock, stack))
            assert sampler(1) >= 0
            assert sampler(3) >= 0


def test_a_subject_is_named_in_full_by_its_beginning_or_by_a_pattern() -> None:
    assert [s.name for s in REGISTRY.choose(["hash/32B"])] == ["hash/32B"]
    assert [s.name for s in REGISTRY.choose(["ed25519"])] == ["ed25519/sign", "ed25519/verify"]
    assert {s.name for s in REGISTRY.choose(["qc/*/n4"])} == {"qc/verify-cold/n4", "qc/verify-cached/n4"}
    assert len(REGISTRY.choose([])) == len(REGISTRY.subjects)


def test_subjects_named_twice_are_measured_once_in_the_order_of_the_registry() -> None:
    assert [s.name for s in REGISTRY.choose(["ed25519", "hash/32B", "ed25519/sign"])] == [
        "hash/32B",
        "ed25519/sign",
        "ed25519/verify",
    ]


@pytest.mark.parametrize(
    ("wrong", "near"), [("codec/decode/votes", "codec/decode/vote"), ("hsh", "hash"), ("ed25519/", "ed25519")]
)
def test_a_wrong_name_is_refused_with_the_nearest(wrong: str, near: str) -> None:
    with pytest.raises(UnknownSubject, match=near):
        REGISTRY.choose([wrong])


def test_a_name_that_is_near_nothing_points_to_the_list() -> None:
    with pytest.raises(UnknownSubject, match="--list"):
        REGISTRY.choose(["@@@@"])


def test_a_file_that_cannot_be_imported_is_reported_and_the_others_are_there() -> None:
    registry = Registry.load(["hashing", "nothing_of_this_name"])
    assert "hash/32B" in registry.subjects
    assert "ModuleNotFoundError" in registry.missing["nothing_of_this_name"]


def test_a_repeated_operation_is_performed_as_often_as_asked() -> None:
    done: list[int] = []
    assert repeated(Clock.CPU, lambda: done.append(0))(17) >= 0
    assert len(done) == 17


def test_a_prepared_operation_gets_as_many_inputs_as_asked_however_few_come_at_a_time() -> None:
    done: list[int] = []
    prepared(Clock.CPU, lambda count: range(min(count, 4)), done.append)(10)
    assert done == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
