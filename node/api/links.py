"""GET /v1/links: how a reader comes from the genesis to the validators of today, one epoch after the other.

Bundles carry the links that they need; whoever checks many facts takes this file once instead (F9).
"""

from starlette.responses import Response

from node.anchoring.cluster.epochs import LinksFile
from node.api.call import Call, Media, Operation
from node.api.faults import Fault
from node.daemon.epochlinks import epoch_links


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
