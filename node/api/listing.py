"""GET /v1/blocks and GET /v1/records: pages to browse by, for whoever does not know an id yet."""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.responses import Response

from consensus import LocalError
from node.api.call import Call, Operation
from node.api.faults import Fault
from node.api.handlers import LIMIT, MIN_HEIGHT, reach_min_height
from node.api.parameters import Parameter, Place, query_integer
from node.api.queries import height_key, state_height, stored_height
from node.api.record_queries import version_fields
from node.api.submitting import TIMEOUT
from node.api.views import header_fields
from node.ledger.apps import records
from node.ledger.apps.app import app_prefix
from node.proofs.header import Header
from node.storage import ChainTable, Snapshot, StateTable

BLOCKS_MAX = 100
"""Entries of one page of blocks: each costs the read of a whole body, for its number of transactions."""
_CURRENT = app_prefix(records.NAME) + records.current_key("")
_HEIGHT_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class BlockSummary:
    """One height: its header, how many transactions it holds (None: no longer stored here), and whether it
    has a certificate of its own."""

    height: int
    header: bytes
    transactions: int | None
    has_certificate: bool

    def readable(self) -> Mapping[str, object]:
        """The decoded header."""
        return {"decoded": header_fields(Header.decode(self.header))}


@dataclass(frozen=True, slots=True)
class BlocksAnswer:
    """Heights downwards; `stored_height` is the newest there is, `more` says that older ones follow."""

    stored_height: int
    blocks: tuple[BlockSummary, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class RecordSummary:
    """A record and the stored bytes of its newest version."""

    record_id: str
    value: bytes

    def readable(self) -> Mapping[str, object]:
        """The decoded version."""
        return {"decoded": version_fields(self.value)}


@dataclass(frozen=True, slots=True)
class RecordsAnswer:
    """Records in the order of their ids at `height`; `more` says that others follow behind the last."""

    height: int
    records: tuple[RecordSummary, ...]
    more: bool


def blocks(snapshot: Snapshot, before: int | None, limit: int) -> BlocksAnswer:
    """Up to `limit` heights below `before` (None: from the newest on), newest first."""
    newest = stored_height(snapshot)
    first = newest if before is None else min(newest, before - 1)
    if first < 0:
        return BlocksAnswer(newest, (), False)
    found = snapshot.scan(ChainTable.HEADERS, height_key(first), limit=limit, reverse=True)
    listed = tuple(_summary(snapshot, key, header) for key, header in found)
    return BlocksAnswer(newest, listed, bool(listed) and listed[-1].height > 0)


def list_records(snapshot: Snapshot, prefix: str, after: str, limit: int) -> RecordsAnswer:
    """Up to `limit` records whose ids begin with `prefix`, those behind `after` ("": from the first on)."""
    within = _CURRENT + prefix.encode()
    start = max(within, _CURRENT + after.encode() + b"\x00" if after else b"")
    found = snapshot.scan(StateTable.STATE, start, limit=limit)
    listed = [(key, value) for key, value in found if key.startswith(within)]
    more = False
    if listed and len(listed) == len(found):
        following = snapshot.scan(StateTable.STATE, listed[-1][0] + b"\x00", limit=1)
        more = bool(following) and following[0][0].startswith(within)
    rows = tuple(RecordSummary(key[len(_CURRENT) :].decode(), value) for key, value in listed)
    return RecordsAnswer(state_height(snapshot), rows, more)


def _summary(snapshot: Snapshot, key: bytes, header: bytes) -> BlockSummary:
    height = int.from_bytes(key, "big")
    has_certificate = snapshot.get(ChainTable.CERTIFICATES, key) is not None
    body = snapshot.get(ChainTable.BODIES, key)
    count = (0 if height == 0 else None) if body is None else _leaves_of(body)
    return BlockSummary(height, header, count, has_certificate)


def _leaves_of(body: bytes) -> int:
    """The length of the first array in `[transactions, receipts]`, without decoding what may be megabytes.

    The msgpack array headers: 0x9n, 0xdc with 16 bits, 0xdd with 32.
    """
    marker = body[1] if body[:1] == b"\x92" and len(body) > 1 else 0
    if marker & 0xF0 == 0x90:
        return marker & 0x0F
    if marker in (0xDC, 0xDD):
        return int.from_bytes(body[2 : 4 if marker == 0xDC else 6], "big")
    raise LocalError("a stored body does not begin with its transactions")


def _begin(text: str) -> str:
    if len(text) > records.RECORD_ID_CHARACTERS_MAX or not text.isascii() or not text.isprintable():
        raise ValueError(f"must be at most {records.RECORD_ID_CHARACTERS_MAX} characters of a record id")
    return text


BEFORE = query_integer("before", "Only heights below this one (for the next page).", _HEIGHT_MAX)
PREFIX = Parameter(
    "prefix", Place.QUERY, "Only records whose ids begin so.", (("type", "string"),), _begin, ""
)
AFTER = Parameter(
    "after", Place.QUERY, "The last record id of the page before.", (("type", "string"),), _begin, ""
)


async def get_blocks(call: Call) -> Response:
    """GET /v1/blocks."""
    before, limit = call.get(BEFORE), _page(call, BLOCKS_MAX)
    await reach_min_height(call)
    return call.answer(await call.door.read(lambda view: blocks(view, before, limit)))


async def get_records(call: Call) -> Response:
    """GET /v1/records."""
    prefix, after, limit = (
        call.get(PREFIX) or "",
        call.get(AFTER) or "",
        _page(call, call.door.limits.page_max),
    )
    await reach_min_height(call)
    return call.answer(await call.door.read(lambda view: list_records(view, prefix, after, limit)))


def _page(call: Call, most: int) -> int:
    asked = call.get(LIMIT)
    return most if asked is None else max(1, min(asked, most))


_FAULTS = (Fault.BAD_PARAMETER, Fault.NOT_ACCEPTABLE, Fault.BUSY, Fault.HEIGHT_NOT_REACHED)
OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "GET",
        "/v1/blocks",
        "listBlocks",
        "Heights downwards: headers and numbers of transactions.",
        get_blocks,
        (BEFORE, LIMIT, MIN_HEIGHT, TIMEOUT),
        BlocksAnswer,
        faults=_FAULTS,
    ),
    Operation(
        "GET",
        "/v1/records",
        "listRecords",
        "Records in the order of their ids, with their newest versions.",
        get_records,
        (PREFIX, AFTER, LIMIT, MIN_HEIGHT, TIMEOUT),
        RecordsAnswer,
        faults=_FAULTS,
    ),
)
