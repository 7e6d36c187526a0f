"""The explorer's files at `/explorer`: a page that looks at this node, from this node, and from nowhere else.

What stands on the ledger is written by others, so the page may run nothing but its own files: the policy
below forbids inline script and style, other origins, frames and, by trusted types, making markup of text.
A folder that lacks its files fails when this is imported, at the node's start and not at a first visit.
Sources: W3C Content Security Policy Level 3; W3C Trusted Types; RFC 9110 13.1.2 (If-None-Match).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.responses import Response

from node.api.call import Call, Media, Operation
from node.api.faults import Fault, fault
from node.api.parameters import Parameter, Place

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
SAFETY_HEADERS: Mapping[str, str] = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "x-frame-options": "DENY",
}
PAGE = "index.html"
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_NAME_CHARACTERS_MAX = 80


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is served."""

    content: bytes
    media_type: str
    etag: str


def load_assets(folder: Traversable, under: str = "") -> dict[str, Asset]:
    """Every file that browsers get, by its path below `folder`."""
    found: dict[str, Asset] = {}
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        name = under + item.name
        if item.is_dir():
            found |= load_assets(item, f"{name}/")
            continue
        media_type = _MEDIA_TYPES.get(item.name[item.name.rfind(".") :])
        if media_type is not None:
            content = item.read_bytes()
            found[name] = Asset(content, media_type, f'"{sha256(content).hexdigest()[:32]}"')
    return found


ASSETS: Mapping[str, Asset] = load_assets(files("node") / "explorer")
_PAGE = ASSETS[PAGE]


def _name(text: str) -> str:
    if len(text) > _NAME_CHARACTERS_MAX:
        raise ValueError(f"must have at most {_NAME_CHARACTERS_MAX} characters")
    return text


ASSET = Parameter("asset", Place.PATH, "The file's name.", (("type", "string"),), _name)


async def get_page(call: Call) -> Response:
    """GET /explorer."""
    return _serve(call, _PAGE)


async def get_asset(call: Call) -> Response:
    """GET /explorer/{asset}."""
    name = call.need(ASSET)
    if name not in ASSETS:
        raise fault(Fault.NOT_FOUND, f"The explorer has no file {name!r}.")
    return _serve(call, ASSETS[name])


async def get_root(call: Call) -> Response:
    """GET /: browsers are led to the explorer, programs told where the document is."""
    if "text/html" not in call.request.headers.get("accept", "").lower():
        raise fault(Fault.NOT_FOUND, "Nothing is at /: programs read /openapi.json, people /explorer.")
    # Relative, so that it also holds behind a proxy that adds a prefix.
    return Response(status_code=307, headers={**SAFETY_HEADERS, "location": "explorer", "vary": "accept"})


def _serve(call: Call, asset: Asset) -> Response:
    """The file, asked for again by its tag at each visit, so that an upgraded node shows its own page."""
    headers = {**SAFETY_HEADERS, "etag": asset.etag, "cache-control": "no-cache"}
    if asset.etag in call.request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(asset.content, headers={**headers, "content-type": asset.media_type})


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "GET",
        "/explorer",
        "getExplorer",
        "A page for people: this node's explorer.",
        get_page,
        (),
        media=Media.PAGE,
    ),
    Operation(
        "GET",
        "/explorer/{asset:path}",
        "getExplorerFile",
        "A file of the explorer's page.",
        get_asset,
        (ASSET,),
        media=Media.PAGE,
        faults=(Fault.NOT_FOUND,),
    ),
    Operation(
        "GET",
        "/",
        "getRoot",
        "Leads browsers to the explorer.",
        get_root,
        (),
        media=Media.PAGE,
        statuses=((307, "To /explorer, for whoever accepts text/html."),),
        faults=(Fault.NOT_FOUND,),
    ),
)
