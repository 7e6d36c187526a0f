"""Every file of the product has a phase, the innermost known frame decides, and tools are their caller's."""

from pathlib import Path

import pytest

from bench.profiling.phases import OTHER, PHASES, WAITING, phase_of, phase_of_file
from bench.profiling.stacks import ROOT, Frame


@pytest.mark.parametrize(
    ("file", "phase"),
    [
        ("consensus/keys.py", "crypto"),
        ("nacl/bindings/crypto_sign.py", "crypto"),
        ("consensus/codec.py", "codec"),
        ("consensus/messages.py", "codec"),
        ("consensus/replica.py", "agreement"),
        ("node/pool/batches.py", "data plane"),
        ("node/pool/messages.py", "codec"),
        ("node/ledger/apps/records.py", "ledger"),
        ("node/proofs/smt.py", "ledger"),
        ("node/daemon/journal.py", "storage"),
        ("node/daemon/driver.py", "composition"),
        ("p2p/tlsstream.py", "transport/TLS"),
        ("ssl.py", "transport/TLS"),
        ("node/api/handlers.py", "HTTP"),
        ("h11/_connection.py", "HTTP"),
        ("trio/_core/_run.py", "scheduler"),
        ("dataclasses.py", None),
        ("trio/_socket.py", None),
    ],
)
def test_a_file_has_the_phase_of_its_noun(file: str, phase: str | None) -> None:
    assert phase_of_file(file) == phase


def test_every_file_that_a_daemon_runs_has_a_phase() -> None:
    folders = ("consensus", "p2p", "node/pool", "node/ledger", "node/validator", "node/daemon", "node/api")
    files = [
        path.relative_to(ROOT).as_posix() for folder in folders for path in (ROOT / folder).rglob("*.py")
    ]
    assert len(files) > 100
    assert not [file for file in files if phase_of_file(file) is None]


def test_the_innermost_known_frame_decides() -> None:
    replica, keys = Frame("Replica.step", "consensus/replica.py"), Frame("digest", "consensus/keys.py")
    library = Frame("replace", "dataclasses.py")
    assert phase_of((replica,)) == "agreement"
    assert phase_of((replica, keys)) == "crypto"
    assert phase_of((replica, keys, replica)) == "agreement"
    assert phase_of((replica, library)) == "agreement"
    assert phase_of((library,)) == OTHER


def test_a_socket_belongs_to_whoever_writes_to_it() -> None:
    loop, socket = Frame("unrolled_run", "trio/_core/_run.py"), Frame("send", "trio/_socket.py")
    peers, http = (
        Frame("TlsStream._flush", "p2p/tlsstream.py"),
        Frame("Connection._send", "node/api/connection.py"),
    )
    assert phase_of((loop, peers, socket)) == "transport/TLS"
    assert phase_of((loop, http, socket)) == "HTTP"
    assert phase_of((loop, socket)) == "scheduler"


def test_phases_are_named_once() -> None:
    assert len(set(PHASES)) == len(PHASES)


def test_the_functions_that_wait_exist() -> None:
    own = [frame for frame in WAITING if (ROOT / frame.file).exists()]
    assert own
    for frame in own:
        assert f"def {frame.function.rpartition('.')[2]}(" in Path(ROOT / frame.file).read_text()
