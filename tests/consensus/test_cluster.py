"""The happy path and the ways back to it, with whole replicas."""

from tests.consensus.cluster import Cluster


def test_four_replicas_commit_and_certify_a_payload() -> None:
    cluster = Cluster().start()
    cluster.submit(b"one")
    cluster.run(100)
    assert cluster.heights() == [1, 1, 1, 1]
    assert all(node.certified and node.certified[-1].height == 1 for node in cluster.nodes)
