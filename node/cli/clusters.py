"""Other clusters on the command line: named by their name or their id, and shown as a table."""

from collections.abc import Iterable

from node.api.federation_queries import ClusterAnswer, FederationAnswer
from node.api.federation_talk import federation
from node.cli.exits import Exit
from node.cli.failures import Failure
from node.cli.listing import Listing
from node.cli.output import table
from node.client import Client


def find_cluster(client: Client, wanted: str) -> ClusterAnswer:
    """The admitted cluster with this name or id. Raises Failure that lists those there are."""
    return chosen(client.look(federation()), wanted)


def chosen(answer: FederationAnswer, wanted: str) -> ClusterAnswer:
    """The cluster with this name or id. Raises Failure that lists those there are."""
    for cluster in answer.clusters:
        if wanted in (cluster.name, cluster.cluster_id.hex()):
            return cluster
    known = ", ".join(cluster.name for cluster in answer.clusters)
    raise Failure(
        Exit.NEGATIVE,
        f"no cluster {wanted!r} was admitted here",
        f"there are {known}" if known else "there is none; `isthmus federation join` admits one",
    )


def age_text(age_ms: int) -> str:
    """A duration as people read it."""
    return f"{age_ms / 1000:.1f} s"


def clusters_table(clusters: Iterable[ClusterAnswer]) -> Listing:
    """A row for each."""
    headings = ("cluster", "status", "anchored height", "age", "epoch", "places to dial", "cluster id")
    return table(
        headings,
        [
            (
                cluster.name,
                f"{cluster.status}, lanes parked" if cluster.is_parked else cluster.status,
                cluster.height,
                age_text(cluster.age_ms),
                cluster.epoch,
                len(cluster.places),
                cluster.cluster_id.hex(),
            )
            for cluster in clusters
        ],
    )
