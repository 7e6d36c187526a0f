"""Check 4: every read answers exactly what the chain says at the height it names, and never an older one.

The stated level of a plain read is sequential consistency at one node: it may be behind, it never shows
what was not committed, and within one life of the node's process it never goes back. A read with
`min_height` sees everything up to that height; with the height of a receipt it sees that write.
"""

from collections.abc import Iterator, Mapping, Sequence

from bench.chaos.chain import Replayed
from bench.chaos.checks.finding import Finding, finding
from bench.chaos.history import Kind, Operation, Result

NOT_BELIEVED = -1


def check_reads(history: Sequence[Operation], replayed: Replayed) -> Finding:
    """All answered reads."""
    reads = [operation for operation in history if operation.request.kind is Kind.READ]
    answered = [operation for operation in reads if operation.outcome.result is Result.OK]
    return finding("reads show the chain", len(answered), "reads", _against(history, answered, replayed))


def _against(
    history: Sequence[Operation], answered: Sequence[Operation], replayed: Replayed
) -> Iterator[str]:
    for operation in history:
        if operation.outcome.code == NOT_BELIEVED:
            yield f"operation {operation.number} got what proves nothing: {operation.outcome.reason}"
    floors = _floors(answered)
    for operation in answered:
        yield from _differs(operation, floors.get(operation.number), replayed)
    yield from _goes_back(answered, floors)


def _differs(operation: Operation, floor: Operation | None, replayed: Replayed) -> Iterator[str]:
    request, told = operation.request, operation.outcome
    where = f"operation {operation.number} read {request.key} from {request.node}"
    asked = request.min_height
    if told.height is None:
        # A plain answer that there is none names no height: it is at or above the asked one, and at or above
        # the one that this process had answered at before.
        least = max(asked or 0, 0 if floor is None else floor.outcome.height or 0)
        expected = replayed.at(request.key, least)
        if expected is not None:
            yield f"{where} at height {least} or later and found nothing; version {expected.number} is there"
        return
    if asked is not None and told.height < asked:
        yield f"{where} at height {asked} or later and was answered at height {told.height}"
    version = replayed.at(request.key, told.height)
    seen = (told.version, told.value, told.tx_id)
    if seen != ((None, None, None) if version is None else (version.number, version.value, version.tx_id)):
        yield (
            f"{where} and saw version {told.version} with value {told.value} at height {told.height}; "
            f"the chain says {None if version is None else (version.number, version.value)}"
        )


def _floors(answered: Sequence[Operation]) -> dict[int, Operation]:
    """By a read's number: of the reads that the same process of a node had answered before it was sent, the
    one at the greatest height."""
    lives: dict[tuple[str, int], list[Operation]] = {}
    for operation in answered:
        if operation.life is not None:
            lives.setdefault((operation.request.node, operation.life), []).append(operation)
    floors: dict[int, Operation] = {}
    for reads in lives.values():
        named = (read for read in reads if read.outcome.height is not None)
        ended = sorted(named, key=lambda read: read.completed_us or 0)
        position, highest = 0, None
        for read in sorted(reads, key=lambda read: read.invoked_us):
            while position < len(ended) and (ended[position].completed_us or 0) < read.invoked_us:
                if highest is None or (ended[position].outcome.height or 0) > (highest.outcome.height or 0):
                    highest = ended[position]
                position += 1
            if highest is not None:
                floors[read.number] = highest
    return floors


def _goes_back(answered: Sequence[Operation], floors: Mapping[int, Operation]) -> Iterator[str]:
    """Of two reads at one node in one life, one ended before the other was sent: heights do not fall."""
    for read in answered:
        floor, height = floors.get(read.number), read.outcome.height
        if floor is not None and height is not None and height < (floor.outcome.height or 0):
            yield (
                f"{read.request.node} answered operation {floor.number} at height "
                f"{floor.outcome.height} and later operation {read.number} at {height}"
            )
