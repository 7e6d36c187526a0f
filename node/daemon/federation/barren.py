"""Offers that brought nothing: a node that offers more than it has for us is not asked for it over and over.

How many leaves our ledger took is a count, and after a deep fork it can stay below the other cluster's log
for ever: leaves of the branch that was given up are in lanes that are closed, and nobody brings them. What
one node did not have says nothing about another one, and whatever changes, here or there, is a reason to ask
again; so a lie delays as much as silence does.
"""

from dataclasses import replace

from node.anchoring.lanes.courier import Held, Offer
from p2p import PeerId

BARREN_MAX = 256
"""Nodes of one cluster that are remembered, the last that had nothing."""


class BarrenOffers:
    """By node: how we stood, and which offer brought nothing then."""

    def __init__(self) -> None:
        self._known: dict[PeerId, tuple[Held, Offer]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def note(self, peer: PeerId, held: Held, offer: Offer) -> None:
        """It had no leaf for us, though its offer had said so."""
        self._known.pop(peer, None)
        if len(self._known) >= BARREN_MAX:
            del self._known[next(iter(self._known))]
        self._known[peer] = (held, offer)

    def log_size(self, peer: PeerId, held: Held) -> int:
        """The size of its log beyond which its news begin for us."""
        before, offer = self._known.get(peer, (None, None))
        if offer is None or before != held:
            return held.leaves_taken
        return max(held.leaves_taken, offer.log_size)

    def without(self, peer: PeerId, held: Held, offer: Offer) -> Offer:
        """What is left of an offer: all of it unless its log is as it was; a newer tip always."""
        before, known = self._known.get(peer, (None, None))
        if known is None or before != held:
            return offer
        if (known.incarnation, known.log_size) != (offer.incarnation, offer.log_size):
            return offer
        return replace(offer, log_size=min(offer.log_size, held.leaves_taken))
