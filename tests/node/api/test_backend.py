"""The fake node keeps the contract that the daemon must keep."""

from tests.node.api.backend_contract import check_backend
from tests.node.api.fake_backend import FakeBackend, put_record


async def test_the_fake_keeps_the_contract() -> None:
    backend = FakeBackend()
    await check_backend(backend, lambda number: put_record(backend.genesis, f"docs/{number}", number))
