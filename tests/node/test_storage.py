"""Writes merged by table are the same writes: the last one to a key counts, whatever came in between."""

from hypothesis import given
from hypothesis import strategies as st

from node.storage import ChainTable, StateTable, Table, Write, WriteSet, last_writes

_WRITES = st.lists(
    st.builds(
        Write,
        st.sampled_from([StateTable.STATE, StateTable.NODES, ChainTable.META]),
        st.binary(min_size=1, max_size=2),
        st.none() | st.binary(max_size=2),
    ),
    max_size=40,
)


def _naive(writes: list[Write]) -> dict[tuple[Table, bytes], bytes | None]:
    return {(write.table, write.key): write.value for write in writes}


@given(_WRITES)
def test_a_write_set_holds_the_last_write_to_each_key(writes: list[Write]) -> None:
    made = WriteSet.of(writes)
    assert _naive(list(made)) == _naive(writes)
    assert len(made) == len(list(made)) == len(_naive(writes))
    for write in writes:
        assert (write in made) == (_naive(writes)[write.table, write.key] == write.value)
    assert b"a key" not in made


@given(_WRITES, _WRITES)
def test_later_writes_go_on_top_and_stay_as_they_are(first: list[Write], second: list[Write]) -> None:
    made, later = WriteSet.of(first), WriteSet.of(second)
    made.update(later)
    assert _naive(list(made)) == _naive(first + second)
    assert _naive(list(later)) == _naive(second)
    made.table(StateTable.STATE)[b"new"] = b"value"
    assert _naive(list(later)) == _naive(second)


def test_a_write_set_is_taken_as_it_is() -> None:
    made = WriteSet({StateTable.STATE: {b"key": b"value"}})
    assert WriteSet.of(made) is made
    assert last_writes(made, StateTable) is made.contents
