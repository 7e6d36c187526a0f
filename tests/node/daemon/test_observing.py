"""Whom a node lets in is read again while it runs, and nothing else is."""

import os
from collections.abc import Iterable
from pathlib import Path

from node.config import load_config
from node.daemon.membership import Membership
from node.daemon.observing import AllowedList
from node.home import Home
from p2p import PeerAddress, PeerId

OWN, FOUNDER, DIALLED = (PeerId(bytes((number,)) * 32) for number in (1, 2, 3))
OBSERVER, OTHER = PeerId(b"\x0a" * 32), PeerId(b"\x0b" * 32)


class Pins:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.peers: list[PeerId] = []
        self.allowed: set[PeerId] = set()

    def update_members(self, peers: Iterable[PeerAddress], allowed: Iterable[PeerId] = ()) -> None:
        self.peers = [address.peer_id for address in peers]
        self.allowed = set(allowed)


def membership(pins: Pins, *configured: PeerId) -> Membership:
    peers = (PeerAddress(DIALLED, "d", "h", 1),)
    return Membership(pins, peers, frozenset({FOUNDER, *configured}), OWN, configured)


def home_of(directory: Path, text: str) -> Home:
    home = Home(directory)
    home.config_file.parent.mkdir(parents=True)
    home.config_file.write_text(text)
    return home


def allowing(*keys: PeerId) -> str:
    return f"[p2p]\nallowed = {[key.hex() for key in keys]}\n"


def test_who_is_listed_is_let_in_and_who_is_struck_off_is_not(tmp_path: Path) -> None:
    home, pins = home_of(tmp_path, allowing(OBSERVER)), Pins()
    watched = AllowedList(load_config(home, os.environ).config, membership(pins, OBSERVER))
    assert not watched.look()
    home.config_file.write_text(allowing(OBSERVER, OTHER))
    assert watched.look()
    assert (pins.peers, pins.allowed) == ([DIALLED], {FOUNDER, OBSERVER, OTHER})
    home.config_file.write_text("")
    assert watched.look()
    assert pins.allowed == {FOUNDER}, "genesis and peers stay, whatever the list says"


def test_a_file_that_cannot_be_read_changes_nothing(tmp_path: Path) -> None:
    home, pins = home_of(tmp_path, allowing(OBSERVER)), Pins()
    watched = AllowedList(load_config(home, os.environ).config, membership(pins, OBSERVER))
    for text in ("[p2p\n", '[p2p]\nallowed = ["ab"]\n', "[p2p]\nalowed = []\n"):
        home.config_file.write_text(text)
        assert not watched.look()
    home.config_file.unlink()
    assert not watched.look()
    assert pins.allowed == set()


def test_a_list_that_names_us_or_whom_we_dial_anyway_is_no_fault(tmp_path: Path) -> None:
    home, pins = home_of(tmp_path, ""), Pins()
    watched = AllowedList(load_config(home, os.environ).config, membership(pins))
    home.config_file.write_text(allowing(OWN, DIALLED, OTHER))
    assert watched.look()
    assert pins.allowed == {FOUNDER, OTHER}


def test_who_is_struck_off_and_is_in_the_roster_comes_back_with_its_epoch(tmp_path: Path) -> None:
    pins = Pins()
    members = membership(pins, OBSERVER)
    members.allow(())
    assert members.enter((OWN, FOUNDER, OBSERVER)) == (FOUNDER, OBSERVER)
    assert pins.allowed == {FOUNDER, OBSERVER}
