"""Who is who on the links: node keys authenticate links, consensus keys sign (C18).

Inside, a validator's link is known by its consensus key, an observer's by its node key; outside, frames go
to node keys. The roster of the epoch says which belongs to which; links stay up when it changes.
"""

from node.ledger.roster import Roster


class Directory:
    """Both directions of the mapping, and which validators' links are up."""

    def __init__(self, roster: Roster) -> None:
        self._inner: dict[bytes, bytes] = {}
        self._up: dict[bytes, None] = {}
        self.enter(roster)

    def enter(self, roster: Roster) -> dict[bytes, bytes]:
        """A new epoch: answers with the inner identities that open links had and have no more, and those that
        they have now."""
        before = self.links()
        self._inner = {bytes(v.node_key): bytes(v.consensus_key) for v in roster.validators}
        self._outer = {inner: outer for outer, inner in self._inner.items()}
        self._names = {bytes(v.consensus_key): v.name for v in roster.validators}
        after = self.links()
        return {was: after[node_key] for node_key, was in before.items() if after[node_key] != was}

    def links(self) -> dict[bytes, bytes]:
        """Inner identities of open links, by node key, in the order in which they were opened."""
        return {node_key: self.inner(node_key) for node_key in self._up}

    @property
    def validator_links(self) -> tuple[bytes, ...]:
        """Node keys of all validators, linked to us or not, ourselves included."""
        return tuple(self._inner)

    def inner(self, node_key: bytes) -> bytes:
        """The identity used inside for the link of `node_key`."""
        return self._inner.get(node_key, node_key)

    def outer(self, identity: bytes) -> bytes:
        """The node key of an inner identity."""
        return self._outer.get(identity, identity)

    def name(self, identity: bytes) -> str:
        """A validator's name, else the start of the key."""
        return self._names.get(identity) or identity.hex()[:12]

    def up(self, node_key: bytes) -> None:
        """The link is open."""
        self._up[node_key] = None

    def down(self, node_key: bytes) -> None:
        """The link is gone."""
        self._up.pop(node_key, None)

    def is_validator(self, identity: bytes) -> bool:
        """Whether this inner identity is a validator's."""
        return identity in self._outer

    def connected_validators(self) -> list[bytes]:
        """Consensus keys of validators whose links are open."""
        return [self._inner[key] for key in self._up if key in self._inner]
