"""Keys end in order of time, whatever was added and removed before: compared with a plain dictionary."""

from hypothesis import given, settings
from hypothesis import strategies as st

from node.pool.expiry import ExpiryIndex

KEYS = [bytes((number,)) for number in range(8)]
TIMES = st.integers(0, 9_000)
ACTIONS = st.sampled_from(["add", "remove", "ended", "oldest"])
STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "ended", "oldest"]), st.sampled_from(KEYS), TIMES),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_exactly_what_ended_is_taken_however_time_jumps(steps: list[tuple[str, bytes, int]]) -> None:
    index = ExpiryIndex()
    known: dict[bytes, int] = {}
    for action, key, time_ms in steps:
        if action == "add" and key not in known:
            known[key] = time_ms
            index.add(key, time_ms)
        elif action == "remove" and key in known:
            index.remove(key, known.pop(key))
        elif action == "ended":
            ended = {key for key, end_ms in known.items() if (end_ms // 1_000 + 1) * 1_000 <= time_ms}
            assert set(index.take_ended(time_ms)) == ended
            known = {key: end_ms for key, end_ms in known.items() if key not in ended}
        elif action == "oldest":
            taken = index.take_oldest()
            assert (taken is None) == (not known)
            if taken is not None:
                assert known.pop(taken) // 1_000 <= min((t // 1_000 for t in known.values()), default=9)
    assert set(index.take_ended(20_000)) == set(known)
