"""After a recovery evidence that may taint it elsewhere is told beside what is anchored now, not instead."""

from consensus import Digest
from node.anchoring.cluster.anchors import ClientStatus
from node.anchoring.forks.recovery import RecoveredBy
from node.ledger.federation import queries
from node.ledger.federation.telling import view_of_other
from node.ledger.federation.watching import about_of
from tests.node.ledger.federation.test_judging import accuse
from tests.node.ledger.federation.test_recovering import Island, apply, four, standing


def test_however_much_evidence_is_kept_every_second_view_or_so_is_the_certified_header() -> None:
    a, b, _, _ = four()
    island = Island(a)
    for first, second in (((0, 1, 2), (1, 2, 3)), ((0, 2, 3), (0, 1, 2)), ((0, 1, 3), (1, 2, 3))):
        assert accuse(b, island.evidence(first, second)).ok
    pieces = {each.encode() for each in queries.evidence(b.state, a.id)}
    assert len(pieces) == 3
    recovery = island.recovery(a.recovered(1), (0, 1, 2, 3), (0, 1, 2), RecoveredBy.OPERATORS)
    assert apply(b, recovery).ok
    assert standing(b, a) == (1, ClientStatus.ACTIVE)
    told = []
    for _ in range(60):
        b.run()
        view = view_of_other(b.reader, a.id)
        assert view is not None
        told.append(view)
    certified = [view for view in told if view.certified is not None]
    assert 24 <= len(certified) <= 36
    assert {view.evidence for view in told} == {None, *pieces}


def test_clusters_whose_heights_go_in_step_are_asked_about_everybody() -> None:
    """Each of four anchors the three others and says one thing more in every turn: four heights."""
    clusters = four()
    here = clusters[0]
    asked: dict[Digest, set[Digest]] = {}
    for _ in range(16):
        for cluster in clusters:
            cluster.run()
        for cluster in clusters:
            for other in clusters:
                if other is not cluster:
                    cluster.pull(other)
        for other in clusters[1:]:
            asked.setdefault(other.id, set()).update(about_of(here.state, here.client(other)))
    for other in clusters[1:]:
        assert asked[other.id] == {each.id for each in clusters[1:]} - {other.id}
