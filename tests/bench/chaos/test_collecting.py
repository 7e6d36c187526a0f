"""What is read from a node must fit together before it is compared with what clients were told."""

import dataclasses

from bench.chaos.chain import Place, replay
from bench.chaos.collecting import executed_by, executed_in, node_contents
from node.api import queries
from node.api.views import BlockAnswer
from tests.node.anchoring.chain import BLOCKS, small_chain


def really_executed() -> list[BlockAnswer]:
    """Seven heights as a node answers them; the second transaction of height 2 put a record that exists."""
    chain = small_chain()
    with chain.store.snapshot() as snapshot:
        return [queries.block(snapshot, height) for height in range(1, len(BLOCKS) + 1)]


def faults_of(blocks: list[BlockAnswer]) -> tuple[str, ...]:
    return node_contents("node0", blocks, {}).faults


def test_a_real_chain_fits_together() -> None:
    blocks = really_executed()
    contents = node_contents("node0", blocks, {b"x": Place(1, 0, 0)})
    assert contents.faults == ()
    assert len(contents.headers) == len(set(contents.bodies)) == len(BLOCKS)
    assert contents.places == {b"x": Place(1, 0, 0)}


def test_the_ledger_answered_what_our_own_replay_expects() -> None:
    executed = [item for block in really_executed() for item in executed_in(block)]
    assert [item.place.status for item in executed] == replay(executed).statuses
    assert [item.place for item in executed if item.place.status] == [Place(2, 1, 200)]
    assert {item.version for item in executed if not item.place.status} == {1}
    assert executed[0].key == "files/a"


def test_a_receipt_or_transaction_that_is_not_its_headers_is_found() -> None:
    blocks = really_executed()
    swapped = dataclasses.replace(blocks[3], receipts=blocks[3].receipts[::-1])
    assert faults_of([*blocks[:3], swapped, *blocks[4:]]) == (
        "the receipts of height 4 are not those of its header",
    )
    lost = dataclasses.replace(blocks[3], transactions=blocks[3].transactions[:-1])
    assert faults_of([*blocks[:3], lost, *blocks[4:]]) == (
        "the transactions of height 4 are not those of its header",
    )


def test_a_header_of_another_height_breaks_the_chain() -> None:
    blocks = really_executed()
    found = faults_of([blocks[0], blocks[2], blocks[1], *blocks[3:]])
    assert "as height 2 it shows a header of height 3" in found
    assert "the header of height 2 does not continue the one before it" in found


def test_what_cannot_be_read_is_a_finding_and_the_blocks_before_it_count() -> None:
    blocks = really_executed()
    before = [item for block in blocks[:3] for item in executed_in(block)]
    lost = dataclasses.replace(blocks[3], transactions=blocks[3].transactions[:-1])
    junk = dataclasses.replace(blocks[3], transactions=(b"junk",) * len(blocks[3].transactions))
    for bad in (lost, junk):
        executed, faults = executed_by([*blocks[:3], bad, *blocks[4:]])
        assert executed == before
        assert len(faults) == 1
        assert faults[0].startswith("the blocks from height 4 on cannot be read: ")
    assert executed_by(blocks) == ([item for block in blocks for item in executed_in(block)], ())


def test_a_header_that_is_none_is_a_finding() -> None:
    blocks = really_executed()
    header = dataclasses.replace(blocks[3].header, header=b"junk")
    found = faults_of([*blocks[:3], dataclasses.replace(blocks[3], header=header), *blocks[4:]])
    assert found[0].startswith("the header of height 4 cannot be read: ")
