"""The explorer's files: what is served, under which headers, and what its scripts may not do."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import PurePosixPath

import httpx2
import pytest

from node.api.explorer import ASSETS, CONTENT_SECURITY_POLICY, PAGE, load_assets
from tests.node.api.fake_backend import FakeBackend
from tests.node.api.live import serving

SCRIPTS = sorted(name for name in ASSETS if name.endswith(".js"))
FORBIDDEN = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|DOMParser|srcdoc|"
    r"createContextualFragment|setHTML|javascript:|\.style\b|importScripts|https?://(?!www\.w3\.org/2000/svg)"
)
LINES_MAX = 400
LINE_CHARACTERS_MAX = 118


@asynccontextmanager
async def people() -> AsyncIterator[httpx2.AsyncClient]:
    async with serving(FakeBackend()) as live, httpx2.AsyncClient(base_url=live.url) as http:
        yield http


def text_of(name: str) -> str:
    return ASSETS[name].content.decode()


async def test_every_file_is_served_with_its_type_and_under_the_policy() -> None:
    async with people() as http:
        for name, asset in ASSETS.items():
            path = "/explorer" if name == PAGE else f"/explorer/{name}"
            answer = await http.get(path)
            assert (answer.status_code, answer.content) == (200, asset.content), name
            assert answer.headers["content-type"] == asset.media_type
            assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert answer.headers["x-frame-options"] == "DENY"


def test_the_policy_allows_no_inline_code_no_other_origin_and_no_frame() -> None:
    rules = dict(rule.split(" ", 1) for rule in CONTENT_SECURITY_POLICY.split("; "))
    assert rules.pop("default-src") == "'none'"
    assert rules.pop("require-trusted-types-for") == "'script'"
    assert {rules.pop(name) for name in ("base-uri", "form-action", "frame-ancestors", "trusted-types")} == {
        "'none'"
    }
    assert set(rules.values()) == {"'self'"}
    assert set(rules) == {"script-src", "style-src", "img-src", "connect-src"}


async def test_a_file_that_is_known_by_its_tag_is_not_sent_again() -> None:
    async with people() as http:
        first = await http.get("/explorer")
        again = await http.get("/explorer", headers={"if-none-match": first.headers["etag"]})
        other = await http.get("/explorer", headers={"if-none-match": '"another"'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert other.status_code == 200
    assert first.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "path",
    [
        "/explorer/nothing.js",
        "/explorer/",
        "/explorer/__init__.py",
        "/explorer/../api/app.py",
        "/explorer/%2e%2e/%2e%2e/home.py",
        "/explorer//etc/passwd",
        "/explorer/pages",
        "/explorer/" + "x" * 81,
    ],
)
async def test_nothing_else_is_served_from_there(path: str) -> None:
    async with people() as http:
        answer = await http.get(path)
    assert answer.status_code in (400, 404)
    assert answer.json()["name"] in ("not-found", "unknown-route", "bad-parameter")


async def test_the_root_leads_browsers_to_the_page_and_tells_programs_where_to_read() -> None:
    async with people() as http:
        person = await http.get("/", headers={"accept": "text/html,application/xhtml+xml;q=0.9"})
        followed = await http.get("/", headers={"accept": "text/html"}, follow_redirects=True)
        program = await http.get("/")
    assert (person.status_code, person.headers["location"]) == (307, "explorer")
    assert followed.url.path == "/explorer"
    assert (program.status_code, program.json()["name"]) == (404, "not-found")
    assert "/openapi.json" in program.json()["message"]


async def test_a_page_from_elsewhere_may_not_use_it() -> None:
    async with people() as http:
        answer = await http.get("/explorer", headers={"origin": "https://elsewhere.example"})
        renamed = await http.get("/explorer", headers={"host": "rebound.example"})
    assert (answer.status_code, renamed.status_code) == (403, 403)


def test_every_file_of_the_folder_is_served_or_is_python() -> None:
    folder = files("node") / "explorer"
    assert load_assets(folder) == ASSETS
    listed = {item.name for item in folder.iterdir() if item.is_file()}
    assert listed - set(ASSETS) == {"__init__.py"}


def test_the_page_holds_no_inline_script_or_style_and_loads_only_files_that_are_there() -> None:
    page = text_of(PAGE)
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", page)
    loaded = re.findall(r'(?:src|href)="(explorer/[^"]+)"', page)
    assert {name.removeprefix("explorer/") for name in loaded} <= set(ASSETS)
    assert not re.findall(r'(?:src|href)="(?!explorer/|#)', page)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_makes_no_markup_of_text_and_imports_only_its_neighbours(name: str) -> None:
    script = text_of(name)
    assert not FORBIDDEN.findall(script)
    for imported in re.findall(r'(?:\} from |\bimport\(|\bimport )"([^"]+)"', script):
        parts: list[str] = []
        for part in (PurePosixPath(name).parent / imported).parts:
            parts = parts[:-1] if part == ".." else [*parts, part]
        assert "/".join(parts) in ASSETS, imported


@pytest.mark.parametrize(
    "script", ["x.innerHTML = y", "eval(x)", "el.style.color = 1", "import('https://cdn.example/x.js')"]
)
def test_what_scripts_may_not_do_is_found(script: str) -> None:
    assert FORBIDDEN.search(script)


@pytest.mark.parametrize("name", sorted(ASSETS))
def test_a_file_is_short_and_says_why_it_exists(name: str) -> None:
    lines = text_of(name).splitlines()
    assert len(lines) <= LINES_MAX
    assert max(map(len, lines)) <= LINE_CHARACTERS_MAX
    if name.endswith(".js"):
        assert lines[0].startswith("// ")
    if name.endswith(".css"):
        assert lines[0].startswith("/* ")
