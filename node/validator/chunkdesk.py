"""The desk of a benchmark cluster, where clients hand in chunks of bytes: no ledger knows whose they are, so
nothing is looked at but their signatures, and those where the cluster has any.
"""

from node.ledger.codes import Code
from node.validator.dataplane import DataPlane
from node.validator.inputs import ChunkChecked, ChunkSubmitted
from node.validator.mail import Mail
from node.validator.outputs import Answer, Refusal


def take_chunk(item: ChunkSubmitted | ChunkChecked, data: DataPlane, mail: Mail) -> None:
    """A client's bytes, or what a worker says of their signatures."""
    closed, pool = data.desk.closed, data.pool
    if isinstance(item, ChunkChecked):
        data.serve_pool(pool.on_chunk_verified(item.ticket, item.fault, mail.now_ms))
    elif closed is not None:
        mail.put(Answer(item.ticket, (Refusal(Code.POOL_FULL, closed),)))
    else:
        data.serve_pool(pool.on_chunk(item.ticket, item.chunk, item.transaction_bytes, mail.now_ms))
