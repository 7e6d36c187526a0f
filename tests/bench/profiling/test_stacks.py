"""Recorded stacks are read as they come, the torn ones counted, and no place of a machine gets through."""

import pytest

from bench.profiling.stacks import ROOT, Frame, Recording, importable

HEAD = 'process 7:"python -c from x import y; spawn_main(fd=1)";thread (71): MainThread'


def test_a_stack_is_its_thread_its_frames_and_a_count() -> None:
    line = f"{HEAD};run (/usr/lib/python3.11/runpy.py:65);C.step ({ROOT}/consensus/replica.py:9) 42\n"
    recording = Recording.parse(line.encode())
    assert recording.torn == 0
    (stack,) = recording.stacks
    assert (stack.thread, stack.count) == (71, 42)
    assert stack.frames == (Frame("run", "runpy.py"), Frame("C.step", "consensus/replica.py"))


def test_a_worker_of_a_worker_is_known_by_its_own_thread() -> None:
    line = b'process 7:"a";process 9:"b";thread (9): MainThread;f (x.py:1) 1\n'
    assert Recording.parse(line).stacks[0].thread == 9


@pytest.mark.parametrize(
    "torn",
    [
        b"thread (1): a;f (x.py:1) many",
        b"thread (1): a;f (x.py:1)",
        b"f (x.py:1) 3",
        b"thread (1): a;\xff\xfe (x.py:1) 3",
        "thread (1): a;f (x.py:1) \u00b2".encode(),
        b"\x85\x0b",
    ],
)
def test_what_cannot_be_read_is_counted_and_the_rest_is_kept(torn: bytes) -> None:
    recording = Recording.parse(b"thread (1): a;f (x.py:1) 3\n" + torn + b"\nthread (1): a;g (x.py:1) 4\n")
    assert recording.torn == 1
    assert [stack.count for stack in recording.stacks] == [3, 4]


def test_a_stack_without_a_frame_is_left_out_and_not_torn() -> None:
    assert Recording.parse(b"thread (1): a 3\n\n") == Recording((), 0)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (f"{ROOT}/node/pool/pool.py", "node/pool/pool.py"),
        ("/opt/venv/lib/python3.11/site-packages/trio/_core/_run.py", "trio/_core/_run.py"),
        ("/usr/lib/python3.11/ssl.py", "ssl.py"),
        ("/usr/lib/python3/dist-packages/nacl/x.py", "nacl/x.py"),
        ("/somewhere/else/script.py", "script.py"),
        ("<string>", "<string>"),
        ("trio/_core/_run.py", "trio/_core/_run.py"),
    ],
)
def test_a_file_is_named_as_an_import_sees_it(file: str, expected: str) -> None:
    assert importable(file) == expected
