"""Proofs in the browser: what the verifier of the node accepts and refuses, the page accepts and refuses, by
the same step; and what a browser cannot check is never called checked."""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from consensus import encode
from node.anchoring import verify
from node.api.bundles import header_bundle, transaction_bundle
from node.api.queries import block
from node.proofs import ProofError
from tests.node.anchoring.bundle_vectors import from_json, opened, replaced
from tests.node.explorer.chromium import Browser
from tests.node.explorer.showcase import HOSTILE_RECORD, Showcase
from tests.node.proofs.vector_files import load

KNOWN: dict[str, Any] = load("bundle_known")
DAMAGED: list[dict[str, Any]] = load("bundle_damaged")
BUNDLES = {entry["name"]: bytes.fromhex(entry["bundle"]) for entry in KNOWN["bundles"]}
JUDGE = """
const { checkBundle } = await import("./explorer/proofs/checking.js");
const { fromHex } = await import("./explorer/proofs/hashing.js");
const [trust, bundles] = given;
const told = [];
for (const bundle of bundles) {
  const { verdict, refused } = await checkBundle(fromHex(bundle), fromHex(trust));
  told.push(refused ?? verdict);
}
return told;
"""
WITHOUT_ED25519 = """
const real = crypto.subtle?.importKey.bind(crypto.subtle);
if (real) crypto.subtle.importKey = (form, key, algorithm, ...rest) =>
  algorithm.name === "Ed25519" ? Promise.reject(new DOMException("", "NotSupportedError"))
    : real(form, key, algorithm, ...rest);
"""
WITHOUT_WEBCRYPTO = "Object.defineProperty(crypto, 'subtle', { value: undefined });"


@pytest.fixture(autouse=True)
def nothing_is_pinned_and_nothing_complained_of(browser: Browser, url: str) -> Iterator[None]:
    browser.visit(url, "#/proofs")
    browser.run("localStorage.clear()")
    browser.complaints()
    yield
    assert browser.complaints() == []


def a_transaction(showcase: Showcase) -> bytes:
    """The id of one that took effect."""
    with showcase.store.snapshot() as snapshot:
        (record, _) = opened(block(snapshot, showcase.height - 2).receipts[0]), None
    tx_id: bytes = record[1]
    return tx_id


def judged(browser: Browser, bundles: list[bytes], trust: str) -> list[str]:
    found: list[str] = browser.wait_for(JUDGE, trust, [bundle.hex() for bundle in bundles])
    return found


def test_the_browser_accepts_every_known_bundle(browser: Browser) -> None:
    assert set(judged(browser, list(BUNDLES.values()), KNOWN["trust"])) == {"verified"}


def test_the_browser_refuses_every_damage_by_the_step_that_the_node_names(browser: Browser) -> None:
    damaged = [
        encode(replaced(opened(BUNDLES[case["of"]]), case["at"], from_json(case["value"])))
        for case in DAMAGED
    ]
    found = judged(browser, damaged, KNOWN["trust"])
    wrong = [
        (case["of"], case["name"], case["refused"], told)
        for case, told in zip(DAMAGED, found, strict=True)
        if case["refused"] != told
    ]
    assert wrong == []
    assert len(DAMAGED) > 500


def test_bytes_that_were_changed_anywhere_are_judged_as_the_node_judges_them(browser: Browser) -> None:
    chance, bundles = Random(7), []
    for bundle in BUNDLES.values():
        for _ in range(12):
            data = bytearray(bundle)
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            bundles.append(bytes(data))
        bundles += [bundle[:-1], bundle + b"\x00", b"", bundle[: len(bundle) // 2]]
    found = judged(browser, bundles, KNOWN["trust"])
    assert found == [by_the_node(data) for data in bundles]
    assert "verified" not in found


def by_the_node(data: bytes) -> str:
    """The verdict of the one verifier there is."""
    try:
        verify(data, trust=bytes.fromhex(KNOWN["trust"]))
    except ProofError as error:
        return str(error).partition(":")[0]
    return "verified"


def test_another_genesis_than_the_pinned_one_is_refused(browser: Browser) -> None:
    assert set(judged(browser, list(BUNDLES.values()), "00" * 32)) == {"genesis"}


@pytest.mark.parametrize("subject", ["tx", "record", "header"])
def test_what_the_node_shows_is_proven_in_the_page(
    subject: str, browser: Browser, url: str, showcase: Showcase
) -> None:
    argument = {
        "tx": a_transaction(showcase).hex(),
        "record": HOSTILE_RECORD.replace("/", "%2F"),
        "header": "20",
    }[subject]
    browser.visit(url, f"#/proofs/{subject}/{argument}")
    browser.until(lambda: browser.text(".verdict"))
    assert browser.text(".verdict strong") == "Verified"
    assert "You have not pinned that genesis." in browser.text(".verdict")
    assert "each signature checked" in browser.text(".steps")
    limits = browser.text(".limits")
    assert all(word in limits for word in ("Freshness", "Forks", "Execution", "Keys", "This page"))


def test_a_pin_is_kept_and_another_cluster_is_refused_by_it(
    browser: Browser, url: str, showcase: Showcase
) -> None:
    own = showcase.genesis.cluster_id.hex()
    for pin, verdict in ((own, "Verified"), ("ab" * 32, "Refused")):
        browser.visit(url, "#/proofs")
        browser.until(lambda: browser.run("return document.querySelector('#trust').value.length") == 64)
        browser.run("document.querySelector('#trust').value = arguments[0];", pin)
        browser.run(
            "[...document.querySelectorAll('button')].find((b) => b.textContent === 'Pin it').click()"
        )
        browser.visit(url, "#/proofs/header/20")
        browser.until(lambda: browser.text(".verdict"))
        assert browser.text(".verdict strong") == verdict
        assert "You have not pinned" not in browser.text(".verdict")
        assert "pinned by you" in browser.text("main")
    assert browser.text(".steps li:last-child strong") == "genesis"
    browser.run(
        "[...document.querySelectorAll('button')].find((b) => b.textContent === 'Forget the pin').click()"
    )
    browser.until(lambda: browser.text(".verdict strong") == "Verified")


TYPE = """
const field = document.querySelector("#trust");
field.value = arguments[0];
field.dispatchEvent(new Event("input"));
"""


def test_a_verdict_never_stands_beside_another_hash_than_the_one_it_was_made_for(
    browser: Browser, url: str, showcase: Showcase
) -> None:
    own = showcase.genesis.cluster_id.hex()
    browser.visit(url, "#/proofs/header/20")
    browser.until(lambda: browser.text(".verdict strong") == "Verified")
    browser.run(TYPE, own[:-1])
    browser.until(lambda: browser.text(".result") == "The genesis hash must be 64 hexadecimal digits.")
    browser.run(TYPE, own[:-1] + ("1" if own[-1] == "0" else "0"))
    browser.until(lambda: browser.text(".verdict strong") == "Refused")
    browser.run(TYPE, f" {own[:32].upper()}\n{own[32:]} ")
    browser.until(lambda: browser.text(".verdict strong") == "Verified")


def test_a_bundle_from_a_file_is_checked_and_a_damaged_one_refused(
    browser: Browser, url: str, showcase: Showcase, tmp_path: Path
) -> None:
    with showcase.store.snapshot() as snapshot:
        good = transaction_bundle(snapshot, showcase.genesis, a_transaction(showcase)).encode()
    bad = bytearray(good)
    bad[-10] ^= 1
    for content, verdict in ((good, "verified"), (bytes(bad), "refused"), (b"no bundle", "refused")):
        file = tmp_path / f"{verdict}.bundle"
        file.write_bytes(content)
        browser.visit(url, "#/proofs")
        browser.driver.find_element("css selector", "#bundle").send_keys(str(file))
        browser.until(lambda: browser.text(".verdict"))
        shown = browser.run("return document.querySelector('.verdict').dataset.verdict")
        assert shown == verdict
        assert ("What is proven" in browser.text(".result")) == (verdict == "verified")


def test_without_ed25519_nothing_is_called_verified(browser: Browser, url: str) -> None:
    with browser.prepared(WITHOUT_ED25519):
        browser.visit(url, "#/proofs/header/20")
        browser.until(lambda: browser.text(".verdict"))
        assert browser.text(".verdict strong") == "Not fully checked"
        assert "NOT CHECKED: this browser has no Ed25519" in browser.text(".steps")
        assert "What is proven" not in browser.text(".result")


def test_without_webcrypto_nothing_is_checked_and_that_is_said(browser: Browser, url: str) -> None:
    with browser.prepared(WITHOUT_WEBCRYPTO):
        browser.visit(url, "#/proofs/header/20")
        browser.until(lambda: browser.text(".verdict"))
        assert browser.text(".verdict strong") == "Not fully checked"
        assert "loopback addresses only" in browser.text(".steps")
        assert browser.run("return document.querySelectorAll('.steps .good').length") == 0


def test_a_header_that_a_later_one_certifies_is_led_there_through_the_history(
    browser: Browser, showcase: Showcase
) -> None:
    known = BUNDLES["transaction-proven-by-later-header"]
    (told,) = judged(browser, [known], KNOWN["trust"])
    assert told == "verified"
    with showcase.store.snapshot() as snapshot:
        bundle = header_bundle(snapshot, showcase.genesis, 20, checkpoint=3).encode()
    assert judged(browser, [bundle], showcase.genesis.cluster_id.hex()) == ["verified"]
