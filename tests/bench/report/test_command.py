"""The page and the README from a history: self-contained, marked, and refused in one sentence."""

import re
import sys
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench.cluster.scenarios import BY_NAME
from bench.report.command import command
from bench.report.page import page
from bench.report.picture import Picture
from bench.report.pictures import all_pictures
from bench.report.reading import run_of
from bench.report.readme import BEGIN, END
from tests.bench.report.made_up import cluster_run, everything, written

RUNS = [run_of(record) for record in everything()]
LOADING = ("src", "href", "xlink:href", "action", "data", "poster", "srcset", "background")


def report(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


class Loads(HTMLParser):
    """Everything in a page that a browser would fetch, or run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "link", "iframe", "object", "embed", "img", "base"):
            self.found.append(tag)
        self.found += [
            f"{name}={value}" for name, value in attrs if name in LOADING and (value or "")[:1] != "#"
        ]
        self.found += [name for name, _ in attrs if name.startswith("on")]


def test_the_page_loads_nothing_and_says_everything(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="drawing needs matplotlib, the optional extra `report`")
    out = tmp_path / "report.html"
    ended = report("--history", written(tmp_path / "history.jsonl", everything()), "--out", out)
    assert ended.exit_code == 0, ended.output
    assert "10 runs" in ended.output
    text = out.read_text()
    assert Loads(text).found == []
    assert "@import" not in text
    assert set(re.findall(r"url\(([^)]{1})", text)) <= {"#"}
    assert (
        text.count("<svg") == text.count("<figure>") == len([p for _, ps in all_pictures(RUNS) for p in ps])
    )
    for words in (
        "NOISY MACHINE",
        "NO FSYNC",
        "an Ed25519 check takes 57 us there",
        "leader-killed",
        "floor 12 ms",
    ):
        assert words in text


def test_a_picture_is_drawn_the_same_every_time() -> None:
    pytest.importorskip("matplotlib", reason="drawing needs matplotlib, the optional extra `report`")
    draw = import_module("bench.report.drawing").draw
    for _, pictures in all_pictures(RUNS):
        for picture in pictures:
            svg = draw(picture)
            assert svg == draw(picture)
            assert svg.startswith("<svg")
            assert picture.y_label in svg
            assert "$" not in svg  # powers of ten are written as numbers


def test_there_is_a_picture_of_every_kind() -> None:
    titles = {title: [picture.title for picture in pictures] for title, pictures in all_pictures(RUNS)}
    assert titles["Throughput and latency"] == ["rates-1-2-3"]
    assert titles["Faults, second by second"] == ["leader-killed", "leader-killed"]
    assert titles["Size of the cluster"] == ["scale"]
    assert "one client, one honest transaction at a time, p50 [NOISY MACHINE]" in titles["History"]
    ((_, (curves,)),) = [item for item in all_pictures(RUNS) if item[0] == "Throughput and latency"]
    assert curves.lines[0].hollow == {2}
    ((_, faults),) = [item for item in all_pictures(RUNS) if item[0] == "Faults, second by second"]
    assert [(picture.y_label, picture.verticals) for picture in faults] == [
        ("certified tx/s", ((1.0, "fault"),)),
        ("p99 of the second, ms", ((1.0, "fault"),)),
    ]
    ((_, (spread,)),) = [item for item in all_pictures(RUNS) if item[0] == "Latency distributions"]
    assert [line.label for line in spread.lines][-1] == "saturate fsync=False [NO FSYNC]"


def test_an_opaque_run_is_marked_wherever_it_stands() -> None:
    opaque = run_of(cluster_run(BY_NAME["lone"], mode="opaque", scenario="opaque-saturate"))
    drawn: list[Picture] = []

    def draw(picture: Picture) -> str:
        drawn.append(picture)
        return "<svg></svg>"

    text = page([opaque], draw, "now")
    assert "<td>OPAQUE</td>" in text
    assert drawn
    assert all("OPAQUE" in picture.title + picture.lines[0].label for picture in drawn)


def test_a_run_to_the_commit_says_so_wherever_it_stands() -> None:
    told = {"mode": "opaque", "scenario": "opaque-60k-committed", "promise": "committed"}
    drawn: list[Picture] = []

    def draw(picture: Picture) -> str:
        drawn.append(picture)
        return "<svg></svg>"

    text = page([run_of(cluster_run(BY_NAME["lone"], **told))], draw, "now")
    assert "<td>OPAQUE, COMMITTED, not certified</td>" in text
    assert "committed tx/s, p50" in text
    assert "certified tx/s" not in text
    assert all("COMMITTED" in picture.title + picture.lines[0].label for picture in drawn)


def test_words_of_a_history_cannot_become_elements(tmp_path: Path) -> None:
    run = run_of(cluster_run(BY_NAME["lone"], scenario="<script>alert(1)</script>"))
    text = page([run], lambda picture: "<svg></svg>", "<now>")
    assert Loads(text).found == []


def test_the_readme_is_written_without_matplotlib_and_only_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "bench.report.drawing", raising=False)
    history = written(tmp_path / "history.jsonl", everything())
    readme = tmp_path / "README.md"
    readme.write_text(f"# x\n{BEGIN}\n{END}\n")
    first = report("--history", history, "--readme", readme)
    assert (first.exit_code, "table written" in first.output) == (0, True)
    text = readme.read_text()
    again = report("--history", history, "--readme", readme)
    assert (again.exit_code, "unchanged" in again.output) == (0, True)
    assert readme.read_text() == text
    page_too = report("--history", history, "--out", tmp_path / "report.html")
    assert page_too.exit_code == 1
    assert 'pip install "isthmus[report]"' in page_too.stderr


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [(None, "There is no history at"), ("{}\n", "line 1: version is missing"), ("nonsense\n", "line 1: ")],
)
def test_a_history_that_cannot_be_read_is_one_sentence(
    tmp_path: Path, lines: str | None, sentence: str
) -> None:
    history = tmp_path / "history.jsonl"
    if lines is not None:
        history.write_text(lines)
    ended = report("--history", history, "--out", tmp_path / "report.html")
    assert ended.exit_code == 1
    assert sentence in ended.stderr
    assert "Traceback" not in ended.output
    assert not (tmp_path / "report.html").exists()


def test_a_readme_without_markers_is_left_alone(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("# x\n")
    ended = report("--history", written(tmp_path / "history.jsonl", everything()), "--readme", readme)
    assert ended.exit_code == 1
    assert "README.md: there must be one line <!-- bench:begin -->" in ended.stderr
    assert readme.read_text() == "# x\n"
