"""Ratios and verdicts on made-up samples, and two real revisions against each other."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.micro.comparison import (
    CannotMeasure,
    MeasurerFailed,
    Process,
    Ratio,
    alternate,
    compare,
    open_process,
)
from bench.micro.registry import Registry
from bench.micro.revision import ROOT, RevisionError, Sources, commit_of, open_sources
from bench.micro.subject import Subject, repeated

needs_checkout = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs a git checkout")


def ratio(here: list[float], base: float = 100.0, generations: int = 3) -> Ratio:
    return Ratio("a/b", "thing", "cpu", (base,) * len(here), tuple(here), generations)


def test_the_ratio_is_the_median_of_the_pairs() -> None:
    measured = Ratio("a/b", "thing", "cpu", (100.0, 200.0, 100.0), (50.0, 180.0, 120.0), 1)
    assert measured.ratios == (0.5, 0.9, 1.2)
    assert measured.ratio == 0.9


@pytest.mark.parametrize(
    ("here", "verdict"),
    [
        ([80.0] * 18, "faster"),
        ([120.0] * 18, "slower"),
        ([100.0] * 18, "within noise"),
        ([97.0] * 18, "within noise"),  # always, but by too little
        ([80.0] * 12 + [120.0] * 6, "within noise"),  # one generation of processes says the opposite
        ([80.0, 80.0, 120.0] * 6, "within noise"),  # twelve of eighteen is chance
        ([80.0] * 4, "within noise"),  # too few pairs to say anything
        ([80.0] * 17 + [500.0], "faster"),  # one hiccup
    ],
)
def test_a_verdict_needs_size_agreement_and_every_generation(here: list[float], verdict: str) -> None:
    generations = 3 if len(here) % 3 == 0 else 1
    assert ratio(here, generations=generations).verdict == verdict


def test_the_chance_is_that_of_a_two_sided_sign_test() -> None:
    assert ratio([80.0] * 6).chance == pytest.approx(2 / 64)
    assert ratio([80.0] * 5 + [120.0]).chance == pytest.approx(14 / 64)
    assert ratio([100.0] * 6).chance == 1.0


def test_a_ratio_as_json_has_its_samples_and_its_verdict() -> None:
    plain = json.loads(json.dumps(ratio([80.0] * 18).to_json()))
    assert set(plain) == {
        "name",
        "unit",
        "clock",
        "base_us",
        "here_us",
        "generations",
        "base_median_us",
        "here_median_us",
        "ratio",
        "ratio_low",
        "ratio_high",
        "verdict",
    }


@needs_checkout
def test_two_revisions_alternate_and_what_one_cannot_do_is_told(tmp_path: Path) -> None:
    known = Registry.load().choose(["hash/32B", "qc/verify-cached/n4"])
    unknown = Subject("no/such", "thing", lambda workshop: repeated(workshop.clock, lambda: None))
    heard: list[str] = []
    with open_sources("HEAD") as (here, base):
        folders = (here.tree, base.tree, here.overlay)
        assert all(folder.is_dir() for folder in folders)
        found = compare(
            here, base, [*known, unknown], 0.01, heard.append, scratch=tmp_path, generations=2, pairs=2
        )
    assert not any(folder.exists() for folder in folders)
    assert not any(tmp_path.iterdir())
    assert [r.name for r in found.ratios] == ["hash/32B", "qc/verify-cached/n4"]
    assert all(len(r.ratios) == 4 and r.ratio > 0 for r in found.ratios)
    assert [name for name, _ in found.not_compared] == ["no/such"]
    assert "the other revision cannot run it" in found.not_compared[0][1]
    assert heard == ["hash/32B", "qc/verify-cached/n4", "no/such"] * 2


_SCRIBE = """
import json, sys
name, diary = sys.argv[1:]
for line in sys.stdin:
    verb, *arguments = json.loads(line)
    with open(diary, "a") as file:
        file.write(f"{name} {verb} {arguments}\\n")
    answers = {"make": None, "calibrate": 40, "run": 1.0 if name == "base" else 2.0}
    print(json.dumps(["ok", answers[verb]]), flush=True)
"""


def test_both_revisions_take_turns_in_one_go_and_each_begins_as_often(tmp_path: Path) -> None:
    diary = tmp_path / "diary"

    def scribe(name: str) -> "subprocess.Popen[str]":
        command = (sys.executable, "-c", _SCRIBE, name, str(diary))
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    with scribe("base") as base, scribe("here") as here:
        nowhere = Sources("made up", tmp_path, tmp_path)
        both = (Process(nowhere, base), Process(nowhere, here))
        samples: tuple[list[float], list[float]] = ([], [])
        alternate(both, "hash/32B", 0.5, 4, samples)
        for each in (base, here):
            assert each.stdin is not None
            each.stdin.close()
    told = [line.split() for line in diary.read_text().splitlines()]
    for verb in ("make", "calibrate"):  # the trials of the latter warm up, so they are made on both
        assert [name for name, told_verb, _ in told if told_verb == verb] == ["base", "here"]
    turns = [name for name, verb, count in told if verb == "run" and count == "[40]"]
    assert turns == ["base", "here", "here", "base"] * 2
    assert samples == ([1.0] * 4, [2.0] * 4)


@needs_checkout
def test_the_sources_are_gone_whatever_ends_the_comparison() -> None:
    with pytest.raises(KeyboardInterrupt), open_sources("HEAD") as (here, _):
        raise KeyboardInterrupt
    assert not here.tree.exists()
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "worktree", "list"], capture_output=True, text=True, check=True
    )
    assert "isthmus-revision-" not in listed.stdout


def test_a_process_on_other_sources_than_wanted_is_refused(tmp_path: Path) -> None:
    # No package is in the wanted folder, so that the installed ones are imported instead.
    empty = Sources("empty", tmp_path, ROOT)
    with pytest.raises(MeasurerFailed, match="other sources"), open_process(empty):
        pass


@needs_checkout
def test_a_measuring_process_answers_faults_and_goes_on() -> None:
    with open_sources("HEAD") as (here, _), open_process(here) as process:
        with pytest.raises(CannotMeasure, match="no subject"):
            process.ask("make", "no/such")
        with pytest.raises(CannotMeasure, match="no subject was made"):
            process.ask("run", 1)
        process.ask("make", "hash/32B")
        assert process.number("run", 10) > 0


@needs_checkout
def test_a_revision_that_does_not_exist_is_refused_in_a_sentence() -> None:
    with pytest.raises(RevisionError, match="There is no revision 'no-such-branch'"):
        commit_of("no-such-branch")


def test_without_a_checkout_comparing_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RevisionError, match="needs a git checkout"):
        commit_of("HEAD", tmp_path)


def test_a_revision_without_the_product_is_refused(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "nothing")
    for package in ("consensus", "p2p", "node"):
        (tmp_path / package).mkdir()
    with pytest.raises(RevisionError, match="holds none of"), open_sources("HEAD", tmp_path):
        pass
