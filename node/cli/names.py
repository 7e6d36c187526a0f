"""Names of what another cluster has: `sector.cluster/app/resource`, resolved through the admitted clusters.

`ports.beta/records/berths/7` is the record `berths/7` of the cluster `ports.beta`. Where a cluster is named
apart, the resource alone will do, and for a record its id: `berths/7`.
"""

from dataclasses import dataclass

from node.api.federation_queries import ClusterAnswer, FederationAnswer
from node.api.federation_talk import federation
from node.cli.clusters import chosen
from node.cli.exits import Exit
from node.cli.failures import Failure
from node.client import Client
from node.ledger.apps.records import NAME as RECORDS

_FORM = "a name is sector.cluster/app/resource, such as ports.beta/records/berths/7"


@dataclass(frozen=True, slots=True)
class Named:
    """A resource of an admitted cluster, as `app/resource`."""

    cluster: ClusterAnswer
    resource: str

    @property
    def full(self) -> str:
        """The whole name."""
        return f"{self.cluster.name}/{self.resource}"


def resolve(client: Client, text: str, cluster: str | None) -> Named:
    """What `text` names: in `cluster` (name or id) where one is given, else by its own first part.

    Raises Failure for what is no name, is unknown, or is claimed twice; then it shows both claims.
    """
    answer = client.look(federation())
    if cluster is not None:
        return Named(chosen(answer, cluster), _resource(text))
    name, _, resource = text.partition("/")
    app, _, rest = resource.partition("/")
    if not (name and app and rest):
        raise Failure(Exit.USAGE, f"{text!r} names nothing of another cluster", f"{_FORM}, or give --cluster")
    own = client.status()
    return Named(claimant(answer, name, own.cluster_name, own.cluster_id), resource)


def claimant(answer: FederationAnswer, name: str, own_name: str, own_id: bytes) -> ClusterAnswer:
    """The one cluster that has this name. Raises Failure: nobody, only we, or several, each shown."""
    claims = [cluster for cluster in answer.clusters if cluster.name == name]
    ids = [cluster.cluster_id for cluster in claims]
    if name == own_name:
        ids.append(own_id)
    if len(ids) > 1:
        told = " and ".join(
            f"cluster {each.hex()}" + (" (this one)" if each == own_id else "") for each in ids
        )
        raise Failure(
            Exit.NEGATIVE, f"the name {name} is claimed by {told}", "say which is meant: --cluster ID"
        )
    if not ids:
        return chosen(answer, name)
    if not claims:
        raise Failure(
            Exit.USAGE, f"{name} is this cluster itself", "its own records: `isthmus query record ID`"
        )
    return claims[0]


def _resource(text: str) -> str:
    """`app/resource`; a record's id alone is enough."""
    return text if text.startswith(f"{RECORDS}/") and text.count("/") > 1 else f"{RECORDS}/{text}"
