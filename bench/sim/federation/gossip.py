"""What clusters tell each other of third ones: what they hold, and evidence where two views differ.

Histories are served by the accused cluster's own nodes, each branch to whoever was shown it: without leaves
of the higher view nothing at different heights can be compared.
"""

from bench.sim.federation.checkers import Checkers
from bench.sim.federation.cluster import Cluster
from bench.sim.federation.history import History
from bench.sim.federation.transactions import Accuse
from node.anchoring.cluster.anchors import ClientStatus
from node.anchoring.forks.evidence import Leaf
from node.anchoring.forks.finding import find_fork
from node.proofs.header import Header

_TRIES_MAX = 100
Place = tuple[int, bytes]
"""Height and header hash."""


class Gossip:
    """Views and evidence at every cluster, asked for with the couriers' turns."""

    def __init__(self, checkers: Checkers) -> None:
        self._checkers = checkers
        self._seen: dict[tuple[bytes, bytes, bytes], Place] = {}
        """(home, peer, subject) -> what the peer last said that it holds."""
        self.evidence: dict[bytes, dict[bytes, tuple[bytes, int, bytes]]] = {}
        """home -> evidence id -> (subject, incarnation, bytes)."""
        self._tries: dict[tuple[bytes, bytes], int] = {}
        self.found = 0

    def views(self, cluster: Cluster) -> dict[bytes, Place]:
        """What a cluster answers: its anchored tips."""
        clients = cluster.main.ledger.clients
        return {subject: (c.last.height, c.last.header_hash) for subject, c in clients.items()}

    def heard(self, home: Cluster, peer: Cluster, views: dict[bytes, Place]) -> None:
        """The peer's answer arrived at a node of `home`."""
        for evidence_id, known in self.evidence.get(peer.cluster_id, {}).items():
            self.learn(home, evidence_id, *known)
        for subject, place in views.items():
            key = (home.cluster_id, peer.cluster_id, subject)
            if subject == home.cluster_id or not place[0] or self._seen.get(key) == place:
                continue
            self._seen[key] = place
            self.compare(home, subject, place)

    def compare(self, home: Cluster, subject: bytes, place: Place) -> None:
        """Hold a view against our own and all that others told us."""
        theirs = self._checkers.history_with(subject, *place)
        if theirs is None:
            return
        client = home.main.ledger.clients.get(subject)
        others = [
            said
            for (who, _, about), said in self._seen.items()
            if who == home.cluster_id and about == subject
        ]
        if client is not None:
            others.append((client.last.height, client.last.header_hash))
        for height, header_hash in others:
            ours = self._checkers.history_with(subject, height, header_hash)
            if height and ours is not None and ours is not theirs:
                self._hold_together(home, subject, (ours, height), (theirs, place[0]))

    def _hold_together(
        self, home: Cluster, subject: bytes, ours: tuple[History, int], theirs: tuple[History, int]
    ) -> None:
        (one, height), (other, their_height) = ours, theirs
        if one.incarnation != other.incarnation:
            return

        def leaf_of(header: Header, index: int) -> Leaf | None:
            return one.leaf_of(header, index) or other.leaf_of(header, index)

        evidence = find_fork(one.view(height), other.view(their_height), leaf_of)
        if evidence is not None:
            self.found += 1
            self.learn(home, evidence.id, subject, one.incarnation, evidence.encode())

    def learn(self, home: Cluster, evidence_id: bytes, subject: bytes, incarnation: int, data: bytes) -> None:
        """Keep and pass on; whether it is any proof is judged by each ledger."""
        known = self.evidence.setdefault(home.cluster_id, {})
        if evidence_id not in known:
            known[evidence_id] = (subject, incarnation, data)

    def press(self, home: Cluster) -> None:
        """Submit what would freeze somebody and has not, yet."""
        ledger = home.main.ledger
        for evidence_id, (subject, incarnation, data) in self.evidence.get(home.cluster_id, {}).items():
            client = ledger.clients.get(subject)
            if (
                client is None
                or client.status is not ClientStatus.ACTIVE
                or client.incarnation != incarnation
            ):
                continue
            key = (home.cluster_id, evidence_id)
            if self._tries.get(key, 0) < _TRIES_MAX:
                self._tries[key] = self._tries.get(key, 0) + 1
                home.submit(Accuse(subject, data))

    def forget(self, subject: bytes) -> None:
        """Views of an earlier incarnation are not compared with those of a later one."""
        self._seen = {key: place for key, place in self._seen.items() if key[2] != subject}
