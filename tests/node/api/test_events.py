"""Event streams: every event once and in order, resumable anywhere, bounded, ended with a reason."""

import json
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing
from starlette.types import Message

from node.api.call import Door
from node.api.departure import Departure
from node.api.events import Cursor, EventStream, read_events
from node.api.gauges import Gauges
from node.api.limits import ApiLimits
from node.api.visitors import Visitors
from node.storage import PRUNED_KEY, ChainTable, Write, height_key
from tests.node.api.fake_backend import FakeBackend, put_record
from tests.node.api.live import ask_raw, serving

HOST = b"host: 127.0.0.1\r\n"


@dataclass(slots=True)
class RawStream:
    """An event stream on a raw socket; chunk framing lines are dropped, so are comments unless asked."""

    socket: trio.SocketStream
    buffer: bytes = b""
    comments: list[str] = field(default_factory=list)

    async def line(self) -> str:
        while b"\n" not in self.buffer:
            part = await self.socket.receive_some()
            if not part:
                raise EOFError
            self.buffer += part
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.decode().rstrip("\r")

    async def event(self) -> tuple[str, str, dict[str, object]]:
        """(id, kind, fields) of the next event."""
        place, kind = "", ""
        while True:
            line = await self.line()
            if line.startswith("id: "):
                place = line[4:]
            elif line.startswith("event: "):
                kind = line[7:]
            elif line.startswith(":"):
                self.comments.append(line)
            elif line.startswith("data: "):
                return place, kind, json.loads(line[6:])


async def open_stream(port: int, path: str, headers: bytes = b"") -> RawStream:
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    await stream.send_all(b"GET " + path.encode() + b" HTTP/1.1\r\n" + HOST + headers + b"\r\n")
    return RawStream(stream)


async def grown(heights: int) -> FakeBackend:
    backend = FakeBackend()
    for number in range(1, heights + 1):
        pair = [put_record(backend.genesis, f"docs/{number}-{n}", 2 * number + n) for n in (0, 1)]
        await backend.submit([transaction.encoded for transaction in pair])
    return backend


ALL_OF_TWO_HEIGHTS = ["0:0", "1:0", "1:1", "1:2", "2:0", "2:1", "2:2"]


async def test_events_have_places_and_come_in_order() -> None:
    async with serving(await grown(2)) as live:
        stream = await open_stream(live.port, "/v1/events?from=0:0")
        events = [await stream.event() for _ in range(7)]
        await stream.socket.aclose()
    assert [event[0] for event in events] == ALL_OF_TWO_HEIGHTS
    assert [event[1] for event in events][:4] == ["header", "transaction", "transaction", "header"]
    assert events[1][2]["method"] == "put"
    assert events[1][2]["name"] == "ok"
    assert events[3][2]["transactions"] == 2


@pytest.mark.parametrize("seen", range(7))
async def test_a_stream_resumed_anywhere_goes_on_behind_the_last_event_seen(seen: int) -> None:
    header = b"last-event-id: " + ALL_OF_TWO_HEIGHTS[seen].encode() + b"\r\n"
    backend = await grown(2)
    async with serving(backend) as live:
        stream = await open_stream(live.port, "/v1/events?from=0:0", header)
        await backend.submit([put_record(backend.genesis, "docs/last", 99).encoded])
        expected = [*ALL_OF_TWO_HEIGHTS[seen + 1 :], "3:0", "3:1"]
        places = [(await stream.event())[0] for _ in expected]
        await stream.socket.aclose()
    assert places == expected


async def test_a_live_stream_hears_of_what_comes() -> None:
    backend = await grown(1)
    async with serving(backend) as live:
        stream = await open_stream(live.port, "/v1/events")
        while not (await stream.line()).startswith("retry"):
            pass
        await backend.submit([put_record(backend.genesis, "docs/new", 99).encoded])
        assert (await stream.event())[0] == "2:0"
        await stream.socket.aclose()


async def test_a_quiet_stream_gets_comments() -> None:
    backend = await grown(1)
    async with serving(backend, ApiLimits(keep_alive_ms=20)) as live:
        stream = await open_stream(live.port, "/v1/events")
        while (await stream.line()) != ": keep-alive":
            pass
        await stream.socket.aclose()


async def test_one_stream_too_many_is_told_so_and_a_closed_one_makes_room() -> None:
    backend = await grown(1)
    async with serving(backend, ApiLimits(streams_max=1, half_closed_ms=20)) as live:
        first = await open_stream(live.port, "/v1/events?from=0:0")
        await first.event()
        answer = await ask_raw(
            live.port, b"GET /v1/events HTTP/1.1\r\n" + HOST + b"connection: close\r\n\r\n"
        )
        assert (answer.status, answer.json()["name"]) == (429, "too-many-streams")
        assert "All 1 event streams" in str(answer.json()["message"])
        await first.socket.aclose()
        await trio.testing.wait_all_tasks_blocked(0.05)
        second = await open_stream(live.port, "/v1/events?from=0:0")
        assert (await second.event())[0] == "0:0"
        await second.socket.aclose()


async def test_a_pruned_height_is_a_gap_that_is_told() -> None:
    backend = await grown(3)
    backend.prune_body(2)
    with backend.snapshot() as snapshot:
        events, after = read_events(snapshot, Cursor(1, 2), 100)
    assert [(str(event.cursor), event.kind) for event in events] == [
        ("1:2", "header"),
        ("None", "gap"),
        ("3:0", "transaction"),
        ("3:1", "transaction"),
        ("3:2", "header"),
    ]
    assert events[1].fields == {"from_height": 2, "to_height": 2}
    assert after == Cursor(4, 0)


async def test_all_that_was_pruned_together_is_one_gap() -> None:
    backend = await grown(5)
    for height in (1, 2, 3):
        backend.prune_body(height)
    backend.store.apply([Write(ChainTable.META, PRUNED_KEY, height_key(4))], [])
    with backend.snapshot() as snapshot:
        events, after = read_events(snapshot, Cursor(1, 0), 1)
    assert [(event.kind, event.fields) for event in events] == [("gap", {"from_height": 1, "to_height": 3})]
    assert after == Cursor(4, 0)


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 100])
async def test_any_batch_size_gives_the_same_events(limit: int) -> None:
    backend = await grown(3)
    at, places = Cursor(0, 0), []
    with backend.snapshot() as snapshot:
        while True:
            events, at = read_events(snapshot, at, limit)
            if not events:
                break
            assert len(events) <= limit
            places += [str(event.cursor) for event in events]
    assert places == [*ALL_OF_TWO_HEIGHTS, "3:0", "3:1", "3:2"]


async def test_a_place_beyond_the_header_of_a_height_goes_on_at_the_next() -> None:
    backend = await grown(2)
    with backend.snapshot() as snapshot:
        events, _ = read_events(snapshot, Cursor(1, 77), 1)
    assert [str(event.cursor) for event in events] == ["2:0"]


async def test_asking_only_for_the_header_of_the_stream_ends_at_once() -> None:
    async with serving(await grown(1)) as live:
        answer = await ask_raw(
            live.port, b"HEAD /v1/events HTTP/1.1\r\n" + HOST + b"connection: close\r\n\r\n"
        )
    assert answer.status == 200
    assert "text/event-stream" in answer.headers
    assert answer.body == b""


async def test_a_busy_database_delays_a_stream_and_loses_nothing() -> None:
    backend = await grown(2)
    backend.snapshots_refused = 3
    async with serving(backend, ApiLimits(retry_after_ms=5)) as live:
        stream = await open_stream(live.port, "/v1/events?from=0:0")
        places = [(await stream.event())[0] for _ in range(7)]
        await stream.socket.aclose()
    assert places == ALL_OF_TWO_HEIGHTS
    assert backend.snapshots_refused == 0


async def subscribe(
    backend: FakeBackend, limits: ApiLimits, start: Cursor, clock: trio.testing.MockClock, seconds: float
) -> tuple[list[str], Gauges]:
    """The lines that a subscriber gets who takes `seconds` for each write, until its stream ends."""
    gauges, shutdown = Gauges(), trio.Event()
    departure, visitors = Departure(shutdown, 1_000), Visitors(limits, gauges)
    door = Door(backend, limits, gauges, departure, trio.CapacityLimiter(1), visitors, ())
    written: list[bytes] = []

    async def send(message: Message) -> None:
        await trio.lowlevel.checkpoint()
        clock.jump(seconds)
        written.append(message.get("body", b""))
        if not message.get("more_body", True):
            return
        if b'"height":4' in b"".join(written):
            shutdown.set()

    async def receive() -> Message:
        raise AssertionError("nothing is received")

    await EventStream(door, start)({}, receive, send)
    return b"".join(written).decode().splitlines(), gauges


async def test_a_subscriber_that_takes_too_long_is_told_why_and_resumes_where_it_was(
    mock_clock: trio.testing.MockClock,
) -> None:
    backend = await grown(4)
    limits = ApiLimits(stream_batch_ms=30_000, write_piece_bytes=1)
    lines, gauges = await subscribe(backend, limits, Cursor(0, 0), mock_clock, 7)
    seen = [line.removeprefix("id: ") for line in lines if line.startswith("id: ")]
    end = json.loads(lines[-2].removeprefix("data: "))
    assert lines[-3] == "event: end"
    assert (end["code"], end["name"]) == (9024, "slow-subscriber")
    assert "not taken within 30000 ms" in end["reason"]
    assert gauges.refused_total["slow-subscriber"] == 1
    assert gauges.streams == 0
    height, index = map(int, seen[-1].split(":"))
    assert end["resume_from"] == str(Cursor(height, index + 1))
    rest, gauges = await subscribe(backend, limits, Cursor.parse(end["resume_from"]), mock_clock, 1)
    seen += [line.removeprefix("id: ") for line in rest if line.startswith("id: ")]
    assert seen == ["0:0", *(f"{h}:{i}" for h in range(1, 5) for i in range(3))], (
        "nothing twice, nothing lost"
    )
    assert gauges.refused_total["slow-subscriber"] == 0
    assert json.loads(rest[-2].removeprefix("data: "))["name"] == "shutting-down"
