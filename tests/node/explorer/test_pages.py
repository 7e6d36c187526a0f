"""Every page of the explorer in a real browser, at the width of a desk and of a telephone."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from node.api.bundles import transaction_bundle
from node.api.queries import block
from node.ledger.transactions import Transaction
from tests.node.explorer.beside import served
from tests.node.explorer.chromium import NARROW, WIDE, Browser
from tests.node.explorer.showcase import (
    HOSTILE_LABEL,
    HOSTILE_LINK,
    HOSTILE_RECORD,
    MARKUP,
    RECORDS,
    TURNED,
    VALIDATORS_EVIDENCE_ID,
    Showcase,
)

PAGES = {
    "#/": ("Overview", "Transactions a second", "Validators", "harbour.example"),
    "#/blocks": ("Blocks", "Header hash", "Older"),
    "#/block/21": ("Block 21", "Signed by", "3 transactions", "records.put"),
    "#/records": ("Records", "docs/manifest-0", "Further"),
    "#/record/docs%2Fmanifest-0": ("docs/manifest-0", "harbour office", "Hold a file against it"),
    "#/proofs": ("What you trust", "Fetch and check", "isthmus verify"),
    "#/federation": ("Who anchors whom", "quay.example", "frozen", "3 accused", "records (unordered)"),
    "#/governance": ("Open proposals", "Approved by weight 1 of 4, 3 is needed", "v3"),
    "#/evidence": (VALIDATORS_EVIDENCE_ID.hex(), "mole.example"),
    "#/peers": ("What this node makes of it", "takes part", "node-1", "connected"),
    "#/metrics": ("isthmus_consensus_height", "Height of the newest certified header."),
}


PICTURED = ("#/", "#/block/21", "#/federation")
NAMELESS = """
return [...document.querySelectorAll("input, button, a, svg[role=img], table")]
  .filter((e) => !(e.labels?.length || e.textContent.trim() || e.ariaLabel || e.querySelector("img")))
  .map((e) => e.outerHTML);
"""
"""What a screen reader could not name."""
WEAK_CONTRAST = """
const lightness = (colour) => {
  const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => {
    const share = Number(part) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const colour = getComputedStyle(at).backgroundColor;
    if (/^rgb\\(/.test(colour)) return colour;
  }
  return "rgb(255, 255, 255)";
};
return [...document.querySelectorAll("body *")].filter((element) => {
  if (!(element instanceof HTMLElement)) return false;
  if (!element.checkVisibility({ checkVisibilityCSS: true })) return false;
  return [...element.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
}).map((element) => {
  const [text, back] = [lightness(getComputedStyle(element).color), lightness(behind(element))];
  return [(Math.max(text, back) + 0.05) / (Math.min(text, back) + 0.05), element.outerHTML.slice(0, 120)];
}).filter(([ratio]) => ratio < 4.5);
"""
"""Texts whose contrast is below the 4.5:1 of WCAG 2.2, 1.4.3."""


@pytest.fixture(autouse=True)
def nothing_is_complained_of(browser: Browser) -> Iterator[None]:
    """No page may leave an error on the console, or be refused anything by its own policy."""
    browser.complaints()
    browser.resize(WIDE)
    yield
    assert browser.complaints() == []


@pytest.mark.parametrize("fragment", PAGES)
def test_a_page_shows_what_it_is_for_to_everybody(
    fragment: str, browser: Browser, url: str, tmp_path: Path
) -> None:
    """At the widths of a desk and of a telephone, in light and in dark, for keyboards and screen readers."""
    browser.visit(url, fragment)
    for size, is_dark in ((WIDE, False), (NARROW, True)):
        browser.resize(size, is_dark=is_dark)
        text = browser.text("body")
        assert [words for words in PAGES[fragment] if words not in text] == []
        assert browser.overflow() == 0, f"{fragment} is too wide at {size[0]} px"
        assert browser.run(WEAK_CONTRAST) == []
        if fragment in PICTURED:
            picture = tmp_path / f"{size[0]}.png"
            browser.screenshot(picture)
            assert picture.read_bytes().startswith(b"\x89PNG")
    assert browser.run(NAMELESS) == []
    levels = browser.run(
        "return [...document.querySelectorAll('main :is(h1,h2,h3)')].map((h) => +h.tagName[1])"
    )
    assert levels.count(1) == 1 == levels[0]
    assert all(below - above <= 1 for above, below in pairwise(levels)), levels
    assert browser.run("return document.querySelectorAll('#pages [aria-current=page]').length") == 1


@pytest.mark.parametrize("fragment", ["#/nowhere", "#/%E0%A4%A", "#/block", "#/tx/zz", "#/proofs/nothing/1"])
def test_an_address_that_leads_nowhere_is_said_so(fragment: str, browser: Browser, url: str) -> None:
    browser.visit(url, fragment)
    text = browser.text("main")
    assert any(words in text for words in ("no such page", "64 hexadecimal digits", "Fetch and check"))


@pytest.mark.parametrize("fragment", ["#/block/99999", f"#/tx/{'0' * 64}", "#/record/docs%2Fnothing"])
def test_what_the_node_does_not_have_is_said_in_words(fragment: str, browser: Browser, url: str) -> None:
    browser.visit(url, fragment)
    text = browser.text("main")
    assert "not stored here" in text or "or not yet" in text
    # The browser itself logs each 404: the answer was expected, and nothing else may be complained of.
    assert all("404" in line for line in browser.complaints())


@pytest.mark.parametrize("page", ["record/docs%2Fhostile", "proofs/record/docs%2Fhostile", "tx"])
def test_a_hostile_record_is_text_and_nothing_else(
    page: str, browser: Browser, url: str, showcase: Showcase
) -> None:
    fragment = f"#/tx/{hostile_id(showcase)}" if page == "tx" else f"#/{page}"
    browser.visit(url, fragment)
    text = browser.text("main")
    assert MARKUP in text
    assert HOSTILE_LINK in text
    if page != "proofs/record/docs%2Fhostile":
        assert HOSTILE_LABEL in text
    assert browser.run("return window.isOwned === undefined")
    assert browser.run("return document.querySelectorAll('main img, main script, main iframe').length") == 0
    targets = browser.run("return [...document.querySelectorAll('a')].map((a) => a.getAttribute('href'))")
    assert all(target.startswith("#") for target in targets)


@pytest.mark.parametrize("page", ["record", "tx"])
def test_no_text_turns_its_own_direction_or_hides_what_it_holds(
    page: str, browser: Browser, url: str, showcase: Showcase
) -> None:
    browser.visit(url, f"#/tx/{hostile_id(showcase)}" if page == "tx" else "#/record/docs%2Fhostile")
    text = browser.text("main")
    assert "bill-" in text
    assert r"\u202egpj.exe\u2066\u001b[2J" in text
    assert not set(text) & set(TURNED) & {"\u202e", "\u2066", "\x1b"}


def hostile_id(showcase: Showcase) -> str:
    with showcase.store.snapshot() as snapshot:
        for height in range(showcase.height, 0, -1):
            for data in block(snapshot, height).transactions:
                transaction = Transaction.decode(data, len(data))
                if transaction.method == "put" and transaction.args[0] == HOSTILE_RECORD:
                    return transaction.id.hex()
    raise AssertionError("the hostile record was not put")


def test_the_policy_stops_what_would_get_through(browser: Browser, url: str) -> None:
    """Even code of the page's own may not make markup of text: the policy holds where care failed."""
    browser.visit(url)
    for attempt in (
        "document.body.innerHTML = '<img src=x onerror=window.isOwned=1>'",
        "document.write('<p>')",
        "document.body.insertAdjacentHTML('beforeend', '<b>')",
        "document.body.setAttribute('onclick', 'window.isOwned = 1')",
        "document.createElement('script').src = '/explorer/main.js'",
    ):
        assert browser.run(
            f"try {{ {attempt}; return false; }} catch (error) {{ return error instanceof TypeError; }}"
        )
    assert browser.run("return window.isOwned === undefined")
    refused = browser.complaints()
    assert refused
    assert all("Content Security Policy" in line or "Trusted" in line for line in refused), refused


def test_the_page_follows_the_chain_by_itself(browser: Browser, url: str, showcase: Showcase) -> None:
    browser.visit(url)
    height = showcase.height
    browser.until(lambda: f"{height}" in browser.text(".tile"))
    showcase.put("docs/later")
    browser.until(lambda: f"{height + 1}" in browser.text(".tile"))
    browser.until(lambda: f"{height + 1}" in browser.text("table"))


FOLLOW = """
const { Live } = await import("./explorer/live.js");
let newest = 0;
window.fetch = async (address) => {
  const asked = new URL(address).searchParams;
  const first = Math.min(newest, Number(asked.get("before") ?? newest + 1) - 1);
  const count = Math.min(Number(asked.get("limit")), first + 1);
  const blocks = Array.from({ length: count }, (_, index) => first - index)
    .map((height) => ({ height, transactions: 1, decoded: { time_ms: 1000 * height } }));
  return new Response(JSON.stringify({ blocks }));
};
const live = new Live();
const told = [];
for (const [height, really] of given[0]) {
  newest = really;
  await live.fetchBlocks(height);
  live.status = { time_ms: 1000 * really };
  told.push([live.blocks.map((block) => block.height), live.rates()]);
}
return told;
"""


def test_heights_that_come_while_the_page_asks_are_not_missed(browser: Browser, url: str) -> None:
    """A node goes on between two answers: of 30 new heights the first answer told of 10."""
    browser.visit(url)
    first, second = browser.wait_for(FOLLOW, [[20, 20], [30, 50]])
    assert first[0] == list(range(20, -1, -1))
    assert second[0] == list(range(50, -1, -1))
    assert second[1] == [0] * 9 + [1] * 51


def test_a_rate_is_unknown_where_heights_were_missed(browser: Browser, url: str) -> None:
    browser.visit(url)
    _, (heights, rates) = browser.wait_for(FOLLOW, [[20, 20], [400, 900]])
    assert heights == list(range(900, 800, -1))
    assert rates == [1] * 60
    _, (heights, rates) = browser.wait_for(FOLLOW, [[20, 20], [25, 900]])
    assert heights == list(range(900, 895, -1))
    assert rates == [None] * 56 + [1] * 4


def test_what_a_node_does_not_tell_is_not_shown(browser: Browser, url: str) -> None:
    older = """
    const real = window.fetch;
    window.fetch = (address, options) => /v1.(peers|why)$/.test(String(address))
      ? Promise.resolve(new Response('{"name":"unknown-route"}', { status: 404 })) : real(address, options);
    """
    with browser.prepared(older):
        browser.visit(url, "#/peers")
        browser.until(lambda: "What this node makes of it" not in browser.text("main"))
        assert browser.run("return [...document.querySelectorAll('main section')].every((one) => one.hidden)")


GAVE_UP = """
return Object.fromEntries([...document.querySelectorAll("main details")].map((one) => [
  one.querySelector("summary").textContent.replace("More about ", ""),
  [...one.querySelectorAll("dt")].find((dt) => dt.textContent === "Gave up").nextElementSibling.textContent,
]));
"""


def test_a_round_that_a_peer_gave_up_is_shown_while_the_node_is_in_it_or_the_next(
    browser: Browser, url: str
) -> None:
    browser.visit(url, "#/peers")
    at = browser.wait_for("return (await (await fetch('v1/status')).json()).round")
    ages = """
    const real = window.fetch;
    window.fetch = async (address, options) => {
      const answer = await real(address, options);
      if (!/v1.peers$/.test(String(address))) return answer;
      const [first] = await answer.json();
      const peers = [null, -2, -1, 0, 1].map((age) => ({
        ...first,
        name: String(age),
        timeout_round: age === null ? null : age + AT,
        timeout_reason: age === 1 ? "" : "no_proposal",
      }));
      return new Response(JSON.stringify(peers), { headers: answer.headers });
    };
    """.replace("AT", str(at))
    with browser.prepared(ages):
        browser.visit(url, "#/peers")
        browser.until(lambda: browser.run(GAVE_UP).get("0") == f"round {at} (no_proposal)")
    assert browser.run(GAVE_UP) == {
        "null": "no round lately",
        "-2": "no round lately",
        "-1": f"round {at - 1} (no_proposal)",
        "0": f"round {at} (no_proposal)",
        "1": f"round {at + 1} (no reason told)",
    }


def test_what_a_reader_opened_stays_open_when_the_figures_change(
    browser: Browser, url: str, showcase: Showcase
) -> None:
    browser.visit(url, "#/metrics")
    browser.run("document.querySelector('details[data-of^=p2p] summary').click()")
    browser.until(lambda: "isthmus_p2p_peers" in browser.text("main"))
    showcase.put("docs/measured")
    browser.until(lambda: f"isthmus_consensus_height\t{showcase.height}" in browser.text("main"))
    assert "isthmus_p2p_peers" in browser.text("main")


def test_a_node_that_goes_away_is_said_so_and_asked_again(browser: Browser, showcase: Showcase) -> None:
    with served(showcase) as url:
        browser.visit(url)
        assert browser.text("#connection") == "Live"
    browser.until(lambda: "Reconnecting in" in browser.text("#connection"))
    assert "not reachable" in browser.text("#notice")
    with served(showcase, port=int(url.rpartition(":")[2])):
        browser.run("document.querySelector('#notice button').click()")
        browser.until(lambda: browser.text("#connection") == "Live")
        assert browser.text("#notice") == ""
    assert all("ERR_CONNECTION_REFUSED" in line for line in browser.complaints())


def test_a_node_that_cannot_commit_gives_its_reasons(
    browser: Browser, showcase: Showcase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(showcase, "not_ready", ("Only 2 of 4 validators are connected.",))
    with served(showcase) as url:
        browser.visit(url)
        assert browser.text("#connection") == "Not ready"
        assert browser.text("#notice") == "Only 2 of 4 validators are connected."
    assert all("503" in line or "ERR_CONNECTION" in line for line in browser.complaints())


@pytest.mark.parametrize(
    ("wanted", "fragment"),
    [
        ("21", "#/block/21"),
        ("docs/manifest-7", "#/record/docs%2Fmanifest-7"),
        ("docs", "#/records?prefix=docs"),
        ("ab" * 32, f"#/tx/{'ab' * 32}"),
    ],
)
def test_whatever_is_looked_for_is_found_by_its_shape(
    wanted: str, fragment: str, browser: Browser, url: str
) -> None:
    browser.visit(url)
    browser.run("document.querySelector('#wanted').value = arguments[0];", wanted)
    browser.run("document.querySelector('#search').requestSubmit();")
    browser.until(lambda: browser.run("return location.hash") == fragment)
    browser.settle()
    assert all("404" in line for line in browser.complaints())


def test_records_are_turned_page_by_page_to_the_last(browser: Browser, url: str) -> None:
    browser.visit(url, "#/records?prefix=docs%2Fmanifest")
    names: list[str] = []
    for _ in range(5):
        names += browser.run("return [...document.querySelectorAll('td a.long')].map((a) => a.textContent)")
        if not browser.run(
            "return [...document.querySelectorAll('.pager a')].some((a) => a.textContent === 'Further')"
        ):
            break
        before = browser.text("table")
        browser.run(
            "[...document.querySelectorAll('.pager a')].find((a) => a.textContent === 'Further').click()"
        )
        browser.until(lambda shown=before: browser.text("table") not in ("", shown))
        browser.settle()
    assert len(names) == len(set(names)) == RECORDS
    assert names == sorted(names)


def test_a_file_is_held_against_a_record_without_leaving_the_browser(
    browser: Browser, url: str, tmp_path: Path
) -> None:
    for content, words in ((b"docs/manifest-5", "the same"), (b"something else", "another")):
        file = tmp_path / words
        file.write_bytes(content)
        browser.visit(url, "#/record/docs%2Fmanifest-5")
        browser.driver.find_element("css selector", "#held").send_keys(str(file))
        browser.until(lambda: browser.text(".held p"))
        assert browser.text(".held .badge") == words


def test_keyboards_may_skip_the_frame(browser: Browser, url: str) -> None:
    browser.visit(url, "#/blocks")
    focused = "document.querySelector('#skip').click(); return document.activeElement.id"
    assert browser.run(focused) == "content"
    assert browser.run("return location.hash") == "#/blocks"
    assert browser.run("return document.documentElement.lang") == "en"


def test_a_proof_is_saved_as_the_file_that_the_node_gives(
    browser: Browser, url: str, showcase: Showcase
) -> None:
    tx_id = hostile_id(showcase)
    browser.visit(url, f"#/proofs/tx/{tx_id}")
    browser.until(lambda: browser.text(".verdict"))
    saved = browser.wait_for(
        "const blobs = []; const make = URL.createObjectURL;"
        "URL.createObjectURL = (blob) => { blobs.push(blob); return make.call(URL, blob); };"
        "document.querySelector('.result > button').click();"
        "await new Promise((resolve) => setTimeout(resolve, 0));"
        "return [...new Uint8Array(await blobs[0].arrayBuffer())];"
    )
    with showcase.store.snapshot() as snapshot:
        given = transaction_bundle(snapshot, showcase.genesis, bytes.fromhex(tx_id)).encode()
    assert bytes(saved) == given
