"""GET /v1/links: how a reader comes from the genesis to the validators of today, one epoch after the other.

Bundles carry the links that they need; whoever checks many facts takes this file once instead (F9).
"""

from starlette.responses import Response

from node.anchoring.cluster.certified import Certified
from node.anchoring.cluster.epochs import LINKS_MAX, EpochLink, LinksFile
from node.api.call import Call, Media, Operation
from node.api.faults import Fault
from node.storage import ChainTable, Snapshot
from node.validator.epochs import EpochLink as StoredLink
from node.validator.epochs import epoch_key


def epoch_links(snapshot: Snapshot, epoch: int = LINKS_MAX) -> tuple[EpochLink, ...]:
    """The links from epoch 0 to `epoch`, or to the last that is stored."""
    links: list[EpochLink] = []
    while len(links) < epoch:
        stored = snapshot.get(ChainTable.EPOCHS, epoch_key(len(links) + 1))
        if stored is None:
            break
        link = StoredLink.decode(stored)
        ending = Certified(link.header, link.certificate)
        links.append(EpochLink(ending, link.roster.validator_set().validators))
    return tuple(links)


async def get_links(call: Call) -> Response:
    """GET /v1/links."""
    cluster_id = call.door.backend.genesis.cluster_id
    links = await call.door.read(epoch_links)
    return Response(LinksFile(cluster_id, links).encode(), media_type="application/octet-stream")


OPERATION = Operation(
    "GET",
    "/v1/links",
    "getLinks",
    "The epoch links since the genesis as one file (isthmus verify --links).",
    get_links,
    (),
    media=Media.FILE,
    faults=(Fault.BUSY,),
)
