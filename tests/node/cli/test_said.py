"""The table of what nodes say of themselves: the node that is asked now, the others as they said it last."""

from dataclasses import replace

from node.cli.said import SAID_HEADINGS, own_row, said_row
from tests.node.diagnosis.scene import A_CONDITION, A_NODE, A_PEER


def test_a_peer_shows_what_it_said_and_how_long_ago() -> None:
    said = replace(
        A_CONDITION,
        disk_free_bytes=12_340_000_000,
        is_disk_low=True,
        map_used_permille=125,
        missing_batches=3,
        pending_transactions=40,
        inbox=5,
    )
    row = said_row(replace(A_PEER, told=said))
    assert row == ("node-1", "2.0 s ago", "12.3 GB", "12.5 %", 3, 40, 5, "refuses clients")
    broken = replace(A_CONDITION, is_diverged=True, never_signs=True, sync_target=900)
    assert said_row(replace(A_PEER, told=broken))[-1] == "diverged, never signs, catches up to 900"


def test_who_never_said_anything_has_a_line_without_values() -> None:
    assert said_row(replace(A_PEER, told=None, told_ms_ago=None)) == ("node-1", *["-"] * 7)


def test_the_node_that_is_asked_stands_in_the_same_columns() -> None:
    row = own_row(replace(A_NODE, missing_batches=2, pending_transactions=7, inbox=1))
    assert len(row) == len(SAID_HEADINGS)
    assert row == ("node-0", "now", "1099.5 GB", "1.0 %", 2, 7, 1, "-")
    full = own_row(replace(A_NODE, disk_free_bytes=A_NODE.disk_reserve_bytes - 1))
    assert full[-1] == "refuses clients"
