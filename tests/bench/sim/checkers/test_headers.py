"""Two headers of a height and every broken link are caught."""

import pytest

from bench.sim.checkers.headers import Headers, header_hash
from bench.sim.checkers.merkle import list_root
from bench.sim.checkers.reading import unpack
from tests.bench.sim.checkers.statements import GENESIS_HEADER, caught, name, pack


def after(before: list[bytes], **changes: object) -> bytes:
    """The next header, with fields changed by their place."""
    parent = unpack(before[-1])
    fields = list(parent)
    fields[4], fields[5] = parent[4] + 1, header_hash(before[-1])
    fields[6], fields[7] = name(f"block {fields[4]}"), parent[7] + 1
    fields[12] = list_root([header_hash(header) for header in before])
    for place, value in changes.items():
        fields[int(place[1:])] = value
    return pack(fields)


def history(count: int) -> list[bytes]:
    headers = [GENESIS_HEADER]
    for _ in range(count):
        headers.append(after(headers))
    return headers


def test_a_linked_history_is_silent_on_every_host() -> None:
    checker = Headers(GENESIS_HEADER)
    for who in ("0", "1"):
        for header in history(12)[1:]:
            checker.on_header(who, header)
    assert len(checker.headers) == 13
    assert checker.executed[5] == header_hash(checker.headers[5])


@pytest.mark.parametrize(
    "changes",
    [
        {"_1": 1},
        {"_2": name("another cluster")},
        {"_3": 1},
        {"_5": name("another parent")},
        {"_7": 0},
        {"_12": name("another history")},
        {"_14": name("other validators")},
    ],
)
def test_a_broken_link_is_caught(changes: dict[str, object]) -> None:
    headers = history(3)
    checker = Headers(GENESIS_HEADER)
    for header in headers[1:]:
        checker.on_header("0", header)
    caught("headers", lambda: checker.on_header("0", after(headers, **changes)))


def test_a_header_that_ends_its_epoch_names_who_signs_the_next() -> None:
    following = name("next validators")
    headers = history(2)
    headers.append(after(headers, _15=following))
    good = after(headers, _3=1, _14=following, _15=None)
    checker = Headers(GENESIS_HEADER)
    for header in (*headers[1:], good):
        checker.on_header("0", header)
    for changes in ({"_3": 0}, {"_3": 2}, {"_14": name("other validators")}):
        late = Headers(GENESIS_HEADER)
        for header in headers[1:]:
            late.on_header("0", header)
        fields: dict[str, object] = {"_3": 1, "_14": following, "_15": None, **changes}
        wrong = after(headers, **fields)
        words = caught("headers", lambda checker=late, wrong=wrong: checker.on_header("0", wrong))  # type: ignore[misc]  # bound now
        assert "epoch" in words


def test_time_that_stands_still_is_caught() -> None:
    headers = history(1)
    checker = Headers(GENESIS_HEADER)
    checker.on_header("0", headers[1])
    still = after(headers, _7=unpack(headers[1])[7])
    assert "time" in caught("headers", lambda: checker.on_header("0", still))


def test_a_gap_is_caught() -> None:
    caught("headers", lambda: Headers(GENESIS_HEADER).on_header("0", history(2)[2]))


def test_another_header_at_a_stored_height_is_caught() -> None:
    headers = history(1)
    checker = Headers(GENESIS_HEADER)
    checker.on_header("0", headers[1])
    caught("headers", lambda: checker.on_header("1", after([GENESIS_HEADER], _10=name("another state"))))


def test_another_hash_is_caught_before_anything_is_stored() -> None:
    checker = Headers(GENESIS_HEADER)
    checker.on_hash("0", 1, name("a"))
    checker.on_hash("1", 1, name("a"))
    caught("headers", lambda: checker.on_hash("2", 1, name("b")))
    caught("headers", lambda: checker.on_header("3", history(1)[1]))
