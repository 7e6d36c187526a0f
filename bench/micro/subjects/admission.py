"""The door for clients: bytes in, counted in; the signature between the two steps is `ed25519/verify`."""

from collections.abc import Iterator

from bench.micro.cluster import EXPIRES_AT_MS, genesis, transactions
from bench.micro.subject import Sampler, Subject, Workshop, prepared
from node.ledger.apps import Apps
from node.ledger.transactions import Transaction
from node.pool.admission import Admission, AdmissionConfig
from node.pool.batches import BatchRules
from node.pool.config import PoolConfig

_NOW_MS = EXPIRES_AT_MS - 60_000
_DISTINCT = 2_000


def _admission() -> Admission:
    apps = Apps(genesis().params.apps)
    members = {member.public_key for member in genesis().members}
    return Admission(
        AdmissionConfig(),
        PoolConfig(BatchRules(genesis().cluster_id)),
        lambda sender: sender in members,
        lambda transaction: apps.check(transaction.app, transaction.method, transaction.args),
    )


def _precheck(workshop: Workshop) -> Sampler:
    door = _admission()
    encoded = [transaction.encoded for transaction in transactions(_DISTINCT)]
    return prepared(workshop.clock, lambda count: encoded[:count], lambda data: door.precheck(data, _NOW_MS))


def _admit(workshop: Workshop) -> Sampler:
    """Each chunk goes to a door that has not seen it."""
    doors: list[Admission] = []

    def prepare(count: int) -> Iterator[Transaction]:
        doors[:] = [_admission()]
        yield from transactions(_DISTINCT)[:count]

    return prepared(workshop.clock, prepare, lambda transaction: doors[0].admit(transaction, _NOW_MS))


SUBJECTS = (
    Subject("admission/precheck", "transaction", _precheck),
    Subject("admission/admit", "transaction", _admit),
)
