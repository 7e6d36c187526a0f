"""Listings at the width of the reader's terminal, and texts of others that would drive it."""

import io
import json

import pytest
from rich.console import Console

from node.cli.output import Output, Taming, table
from node.cli.plain import one_line, tame, tame_json, words_of
from node.cli.seen import PEER_HEADINGS

PEER = ("beta", 1, "up", "0.4 s ago", 5, 1, 4, "2 proposal_not_received", "-141 ms", "0 / 0 B", "15 kB")
PEERS = [(*PEER, "18 kB", 0, 4), ("delta", 1, "DOWN", *("-" for _ in range(8)), "-", 0, "-")]


def drawn(width: int, *shown: object) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, soft_wrap=True, highlight=False, force_terminal=False)
    console.push_render_hook(Taming())
    for each in shown:
        console.print(each)
    return file.getvalue()


def test_a_listing_that_fits_is_a_table() -> None:
    lines = drawn(160, table(PEER_HEADINGS, PEERS)).splitlines()
    assert len(lines) == 4
    assert "proposal_not_received" in lines[2]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120])
def test_where_a_table_does_not_fit_no_value_is_broken_and_no_line_is_too_wide(width: int) -> None:
    text = drawn(width, table(PEER_HEADINGS, PEERS))
    assert max(map(len, text.splitlines())) <= width
    assert "2 proposal_not_received" in text
    assert "clock -141 ms" in text
    assert "last vote 4" in text


def test_what_nobody_knows_takes_no_room_in_a_paragraph() -> None:
    delta = drawn(80, table(PEER_HEADINGS, PEERS)).splitlines()[-1]
    assert delta == "delta  weight 1, link DOWN, score 0"


def test_a_last_column_of_sentences_is_folded_between_its_words() -> None:
    rows = [("http", "429", "rate-limited", "You ask more often than this node answers one address.")]
    lines = drawn(60, table(("kind", "code", "name", "meaning"), rows)).splitlines()
    assert lines[0].split() == ["kind", "┃", "code", "┃", "name", "┃", "meaning"]
    assert max(map(len, lines)) <= 60
    assert "this node answers" in " ".join(line.rpartition("│")[2].strip() for line in lines[2:])


@pytest.mark.parametrize("hostile", [r"\[/foo]", "[/foo]", r"\\[red]x", "[link=http://evil]here[/link]"])
def test_nothing_in_a_cell_or_a_title_is_markup(hostile: str) -> None:
    text = drawn(160, table(("name",), [(hostile,)], hostile))
    assert text.count(hostile) == 2


@pytest.mark.parametrize("code", ["\x1b[2J", "\x1b]0;owned\x07", "\x9b31m", "\x7f", "\r", "\b", "\u202e"])
@pytest.mark.parametrize("width", [20, 160])
def test_no_text_drives_the_terminal_wherever_it_stands(code: str, width: int) -> None:
    text = drawn(width, table(("a", "b"), [(f"x{code}y", "z")]), f"x{code}y")
    assert code[0] not in text
    assert "y" in text


def test_colours_of_our_own_stay() -> None:
    file = io.StringIO()
    console = Console(file=file, width=80, force_terminal=True, color_system="standard")
    console.push_render_hook(Taming())
    console.print("fault", style="red")
    assert file.getvalue() == "\x1b[31mfault\x1b[0m\n"


def test_a_value_cannot_begin_a_line_that_looks_like_ours() -> None:
    forged = "x\nverified against the pinned genesis"
    assert len(drawn(160, table(("a", "b"), [(forged, "z")])).splitlines()) == 3
    assert words_of(forged) == r"x\nverified against the pinned genesis"


def test_fields_of_records_are_words_without_brackets() -> None:
    assert words_of(()) == words_of({}) == words_of("") == "-"
    assert words_of(["a/b", "c/d"]) == "a/b, c/d"
    assert words_of({"kind": "hello\x1b", "year": "2026"}) == r"kind=hello\x1b, year=2026"
    assert words_of(b"\x01\x02") == "0102"
    assert words_of(0) == "0"


def test_what_is_said_of_a_text_is_its_code() -> None:
    assert tame("a\tb\x9bc\u2066d\ne") == "a\\x09b\\x9bc\\u2066d\ne"
    assert one_line("a\nb") == r"a\nb"


def test_a_json_document_drives_no_terminal_and_means_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    document = {"text": "a\x9b31m\x7f\u202eb\x1b\\x41\n ü"}
    Output(as_json=True).answer(document, lambda console: None)
    out = capsys.readouterr().out
    assert not set(out) & {"\x9b", "\x7f", "\u202e", "\x1b"}
    assert json.loads(out) == document
    assert tame_json('"ü"') == '"ü"'
