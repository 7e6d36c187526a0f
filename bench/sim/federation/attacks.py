"""What strikes a federation beside the weather: a cluster with two histories, keys of old sets, and spam.

`split` shows one history to half of the peers and another to the rest; `flip` shows one to all and then the
other; `rewrite` splits, and the second history is above a list whose past was changed; `swap` shows each
peer one header of the first history, and then the second. A forked cluster
recovers on one of its branches when everybody has frozen it, signed by its operators (F6).
"""

from dataclasses import replace
from random import Random

from bench.sim.federation import serving
from bench.sim.federation.checkers import Checkers
from bench.sim.federation.cluster import Cluster, Line
from bench.sim.federation.gossip import Gossip
from bench.sim.federation.history import History
from bench.sim.federation.keyring import Keyring, keyring
from bench.sim.federation.ledger import Ledger
from bench.sim.federation.roads import Roads, damaged
from bench.sim.federation.transactions import Accuse, Deliver, Recover
from node.anchoring.client.lightclient import Update
from node.anchoring.cluster.anchors import ClientStatus
from node.anchoring.forks.evidence import ForkEvidence, ForkKind, Statement
from node.anchoring.lanes import BundleRequest, InboundBundle, heard_of
from node.anchoring.lanes.inbound import INBOUND_BYTES_MAX, INBOUND_LEAVES_MAX
from node.anchoring.lanes.records import Heard


class Forked:
    """A cluster that signs two histories, from the fork to its recovery."""

    def __init__(self, cluster: Cluster, checkers: Checkers, peers: list[Cluster], how: str) -> None:
        self.cluster, self.peers, self.how = cluster, peers, how
        self._checkers = checkers
        self._next: tuple[Keyring, Keyring] | None = None
        self._chosen: Ledger | None = None
        self._dropped: list[Ledger] = []
        checkers.corrupt.add(cluster.cluster_id)
        trunk = cluster.main.ledger
        branch = trunk.fork(trunk.watcher)
        if how == "rewrite" and branch.history.height > 1:
            branch.history = branch.history.rewrite(branch.history.height // 2)
        checkers.watch(cluster.name, branch, trunk)
        cluster.lines.append(Line(branch))
        self._forked_at = trunk.history.height
        if how == "swap":
            cluster.main.height_max = self._forked_at + 1
            cluster.shows = self._swapped
        elif how != "flip":
            cluster.shown = {peer.cluster_id: place % 2 for place, peer in enumerate(peers)}

    def flip(self) -> None:
        """Show everybody the other history."""
        self.cluster.shown = {peer.cluster_id: 1 for peer in self.peers}

    def _swapped(self, peer: bytes) -> int:
        held = next(p for p in self.peers if p.cluster_id == peer).main.ledger
        return int(held.clients[self.cluster.cluster_id].last.height > self._forked_at)

    def push(self) -> None:
        """A Byzantine validator of each peer that froze it goes on bringing what the cluster says."""
        subject = self.cluster.cluster_id
        for peer in self.peers:
            client = peer.main.ledger.clients[subject]
            if not self.is_recovering and client.status is ClientStatus.FROZEN:
                bundle = _fresh(self.cluster, peer)
                if bundle is not None:
                    peer.submit(Deliver(subject, bundle.encode()))

    @property
    def is_recovering(self) -> bool:
        """Whether it has chosen a branch."""
        return self._chosen is not None

    @property
    def is_frozen_everywhere(self) -> bool:
        """Whether every peer has seen evidence."""
        clients = (peer.main.ledger.clients[self.cluster.cluster_id] for peer in self.peers)
        return all(client.status is ClientStatus.FROZEN for client in clients)

    @property
    def is_over(self) -> bool:
        """Whether every peer follows the next incarnation."""
        clients = (peer.main.ledger.clients[self.cluster.cluster_id] for peer in self.peers)
        chosen = self._chosen
        return chosen is not None and all(
            client.incarnation == chosen.history.incarnation + 1 for client in clients
        )

    def recover(self, branch: int, gossip: Gossip) -> None:
        """Go on with one branch, under new keys."""
        cluster = self.cluster
        chosen = cluster.lines[branch].ledger
        incarnation = chosen.history.incarnation + 1
        validators = keyring(f"{cluster.name}/{incarnation}", cluster.nodes)
        operators = keyring(f"{cluster.name}/operator/{incarnation}", cluster.nodes)
        self._next = (validators, operators)
        self._chosen, self._dropped = chosen, [line.ledger for line in cluster.lines]
        living = chosen.fork(chosen.watcher)
        living.history = chosen.history.recovered(validators, operators)
        self._checkers.watch(cluster.name, living, chosen)
        cluster.lines, cluster.shown, cluster.shows = [Line(living)], {}, _only
        gossip.forget(cluster.cluster_id)

    def announce(self) -> None:
        """Every peer's operators approve the recovery; again, until it stands on their ledger."""
        if self._next is None or self._chosen is None:
            return
        subject = self.cluster.cluster_id
        for peer in self.peers:
            ledger = peer.main.ledger
            client = ledger.clients[subject]
            if client.status is not ClientStatus.FROZEN:
                continue
            convicted = None if client.convicted is None else client.convicted.epoch
            certificate = self._chosen.history.recovery(*self._next, client.accused, convicted)
            data = self._prefix(heard_of(ledger, subject), peer.cluster_id)
            peer.submit(Recover(certificate.encode(), data))

    def _prefix(self, heard: Heard | None, peer: bytes) -> bytes | None:
        """What the chosen branch shares with the one of which a peer was proven this."""
        if heard is None or self._chosen is None:
            return None
        outbox = self._chosen.outbox
        found = (outbox.common_prefix(dropped.outbox, peer, heard) for dropped in self._dropped)
        prefix = next((each for each in found if each is not None), None)
        return None if prefix is None else prefix.encode()


def _only(peer: bytes) -> int:
    return 0


def spam(home: Cluster, subject: Cluster, roads: Roads, chance: Random) -> None:
    """A Byzantine validator of `home` puts into its own pool what no honest one would pass on."""
    kept = roads.kept(subject.cluster_id, home.cluster_id)
    if kept is not None:
        home.submit(Deliver(subject.cluster_id, kept))
        home.submit(Deliver(subject.cluster_id, damaged(kept, chance)))
    fresh = _fresh(subject, home)
    if fresh is not None and fresh.update is not None:
        cut = InboundBundle(fresh.source, _cut(fresh.update), None, ())
        home.submit(Deliver(subject.cluster_id, cut.encode()))
    history = subject.main.ledger.history
    if history.height:
        home.submit(Accuse(subject.cluster_id, _framing(history).encode()))
        home.submit(Accuse(subject.cluster_id, damaged(_framing(history).encode(), chance)))


def _fresh(subject: Cluster, home: Cluster) -> InboundBundle | None:
    """What the subject serves at this moment."""
    held = home.main.ledger.held(subject.cluster_id)
    progress = (held.incoming, held.outgoing, INBOUND_LEAVES_MAX, INBOUND_BYTES_MAX)
    request = BundleRequest(held.incarnation, held.height, *progress)
    return serving.answer(subject.line_for(home.cluster_id).ledger, home.cluster_id, request)


def _cut(update: bytes) -> bytes:
    """An update whose proofs are of something else."""
    known = Update.decode(update)
    path = known.consistency_path[1:] if known.consistency_path else (b"\x01" * 32,)
    return replace(known, consistency_path=path, tip_path=known.tip_path[:-1] or (b"\x02" * 32,)).encode()


def _framing(history: History) -> ForkEvidence:
    """Two different headers, of which a quorum signed only one: no evidence, whatever it looks like."""
    real = history.certified(history.height)
    other = history.fork(history.height - 1)
    header = other.append(
        epoch=real.header.epoch,
        seal=b"framed",
        time_ms=real.header.time_ms,
        roots=(real.header.state_root, real.header.outbox_root, real.header.anchors_root),
        signers=(0,),
    )
    forged = history.sets[header.epoch].certify(header, (0,))
    links = history.links(history.first_epoch, header.epoch)
    return ForkEvidence(ForkKind.TWO_HEADERS, header.height, links, Statement(real), Statement(forged))


def leak(home: Cluster, subject: Cluster) -> bool:
    """Whoever got the keys of a set that is over shows `home` another history from there; False while `home`
    does not know that it is over: until then such keys are as good as a corrupt cluster."""
    history = subject.main.ledger.history
    client = home.main.ledger.clients[subject.cluster_id]
    if not history.ends or client.epoch <= history.first_epoch or client.last.height <= history.ends[0]:
        return False
    end = history.ends[0]
    other = history.fork(end - 1)
    old = history.headers[end]
    fields = (old.state_root, old.outbox_root, old.anchors_root)
    stolen = keyring("stolen", subject.nodes)
    everybody = range(subject.nodes)
    other.append(
        epoch=old.epoch, seal=b"leak", time_ms=old.time_ms, roots=fields, signers=everybody, next_set=stolen
    )
    time_ms = history.tip.time_ms
    while other.height <= client.last.height:
        time_ms += 1
        other.append(epoch=other.epoch, seal=b"leaked", time_ms=time_ms, roots=fields, signers=everybody)
    update = other.update(client.incarnation, 0, other.height).encode()
    bundle = InboundBundle(subject.cluster_id, update, None, ())
    home.submit(Deliver(subject.cluster_id, bundle.encode()))
    first, second = (Statement(branch.certified(end)) for branch in (history, other))
    evidence = ForkEvidence(ForkKind.TWO_HEADERS, end, (), first, second)
    home.submit(Accuse(subject.cluster_id, evidence.encode()))
    return True
