"""Who is a node of another cluster: keys from what was admitted, places from wherever, never the reverse."""

from consensus import Digest, PublicKey, encode
from node.anchoring.cluster.identity import nodes_of_genesis
from node.daemon.federation.directory import ConfiguredAddress, foreign_peers
from node.ledger.federation.records import Address
from tests.node.daemon.federation.fakes import OTHERS, THEM

KEYS = tuple(bytes([number]) * 32 for number in range(1, 8))

THEIR_KEYS = tuple(map(PublicKey, KEYS[:4]))


def genesis(count: int = 4) -> bytes:
    """A body of which only the node keys matter here."""
    members = tuple((f"v{n}", "org", bytes(32), KEYS[n], 1, bytes(32)) for n in range(count))
    return encode((1, "them", (), members, (), (), bytes(32)))


def written(*numbers: int) -> tuple[Address, ...]:
    return tuple(Address(PublicKey(KEYS[n]), f"host{n}", 1000 + n) for n in numbers)


def dialled(
    addresses: tuple[Address, ...],
    first: int | None,
    configured: tuple[ConfiguredAddress, ...] = (),
    cluster: Digest = THEM,
) -> dict[bytes, tuple[str, int]]:
    peers = foreign_peers(cluster, "them", THEIR_KEYS, addresses, configured, first_dialled=first)
    return {p.peer_id: (p.address.host, p.address.port) for p in peers if p.address is not None}


def test_every_node_of_the_genesis_may_connect_and_f_plus_one_are_dialled() -> None:
    assert nodes_of_genesis(genesis()) == KEYS[:4]
    peers = foreign_peers(THEM, "them", THEIR_KEYS, written(0, 1, 2, 3), (), first_dialled=1)
    assert [peer.peer_id for peer in peers] == list(KEYS[:4])
    assert {peer.network_id for peer in peers} == {THEM}
    assert [peer.address is not None for peer in peers] == [False, True, True, False]
    assert peers[1].address is not None
    assert (peers[1].address.host, peers[1].address.port, peers[1].address.name) == ("host1", 1001, "them/1")


def test_the_validators_of_one_cluster_begin_at_different_nodes_and_move_on() -> None:
    everywhere = written(0, 1, 2, 3)
    assert [sorted(dialled(everywhere, first)) for first in (0, 3, 6)] == [
        [KEYS[0], KEYS[1]],
        [KEYS[0], KEYS[3]],
        [KEYS[2], KEYS[3]],
    ]


def test_who_has_no_seat_dials_nobody_and_who_has_no_address_is_not_dialled() -> None:
    assert dialled(written(0, 1, 2, 3), None) == {}
    assert dialled((), 0) == {}
    assert set(dialled(written(2), 0)) == {KEYS[2]}


def test_configuration_says_where_a_known_key_is_and_never_who() -> None:
    entries = (
        ConfiguredAddress(THEM, KEYS[0], "elsewhere", 9),
        ConfiguredAddress(THEM, KEYS[6], "stranger", 9),
        ConfiguredAddress(OTHERS, KEYS[1], "wrong", 9),
    )
    assert dialled(written(0), 0, entries) == {KEYS[0]: ("elsewhere", 9)}
    assert set(dialled((), 0, entries)) == {KEYS[0]}


def test_a_key_that_operators_wrote_down_is_known_too() -> None:
    assert KEYS[5] in dialled(written(5), 0)


def test_after_an_epoch_that_replaced_everybody_the_keys_of_the_proven_roster_count() -> None:
    newer = KEYS[4:7]
    peers = foreign_peers(THEM, "them", newer, written(4, 5), (), first_dialled=0)
    assert [peer.peer_id for peer in peers] == list(newer)
    elsewhere = (ConfiguredAddress(THEM, KEYS[6], "new", 9), ConfiguredAddress(THEM, KEYS[0], "gone", 9))
    found = foreign_peers(THEM, "them", newer, (), elsewhere, first_dialled=0)
    assert [p.peer_id for p in found if p.address is not None] == [KEYS[6]]
