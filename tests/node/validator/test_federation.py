"""Two clusters of whole validators federate: admitted by their operators, couriers' transactions taken at the
desk, everything proven from what the shipped composition stored, also after every node was started again."""

from dataclasses import replace

from bench.sim.operators import Operators
from bench.sim.remembered import remembered
from bench.sim.setting import key_of, make_setting
from bench.sim.world import World
from node.anchoring.lanes import Mode, Result, plan
from node.ledger.apps.sharing import Outcome, outcome_key, shared_key
from node.ledger.federation import serving
from node.ledger.federation.changes import SetLanePolicy, federation_change_of
from node.ledger.federation.records import LanePolicy
from node.ledger.governance.changes import Change
from node.ledger.transactions import Transaction
from node.storage import Reader, StateTable
from tests.node.ledger.world import put_args

WITHIN_MS = 20_000


class Island:
    """One cluster with its operators."""

    def __init__(self, name: str, seed: int) -> None:
        setting = make_setting(4, remembered())
        setting = replace(setting, genesis=replace(setting.genesis, name=name))
        self.world = World(setting, seed).start()
        self.operators = Operators(self.world)
        self.id = setting.genesis.cluster_id

    @property
    def reader(self) -> Reader:
        return self.world.hosts[0].disk.store.reader()

    def state(self, key: bytes) -> bytes | None:
        return self.reader.get(StateTable.STATE, key)

    def call(self, *transactions: Transaction) -> None:
        """Submit at the first host, and wait until it has stored them."""
        self.world.hosts[0].submit(*transactions)
        assert self.world.stored(transactions, WITHIN_MS, 0)

    def admit(self, other: "Island") -> None:
        admitted = federation_change_of(8, (8, other.world.genesis.body, ()))
        lane = SetLanePolicy(other.id, "records", Mode.UNORDERED, LanePolicy(True, True))
        changes: tuple[Change, ...] = (admitted, lane)
        proposed, proposal_id = self.operators.propose(changes)
        assert self.world.stored([proposed], WITHIN_MS, 0)
        assert self.world.stored(self.operators.approve(proposal_id)[:2], WITHIN_MS, 0)

    def pull(self, other: "Island", node: int = 0) -> None:
        """One round of our courier."""
        held = serving.held(self.reader, other.id)
        assert held is not None
        request = plan(held, serving.offer(other.reader, self.id), held.anchored_ms, 0, bytes_max=64 * 1024)
        if request is None:
            return
        bundle = serving.answer(other.reader, self.id, request)
        assert bundle is not None
        self.call(self.world.sign(key_of(f"node {node}"), "federation", "deliver", (bundle.encode(),)))


def test_a_record_crosses_between_clusters_of_validators_and_survives_their_restart() -> None:
    a, b = Island("ports.alpha", 1), Island("ports.beta", 2)
    a.admit(b)
    b.admit(a)
    client = a.world.setting.clients[0]
    a.call(a.world.sign(client, "records", "put", put_args("port/manifest")))
    deadline_ms = max(a.world.now_ms, b.world.now_ms) + 3_600_000
    a.call(a.world.sign(client, "records", "share", ("port/manifest", b.id, deadline_ms)))
    for host in a.world.hosts:
        host.crash()
    for host in a.world.hosts:
        host.start()
    b.pull(a)
    assert b.state(b"records/" + shared_key(a.id, "port/manifest")) is not None
    a.pull(b, node=1)
    told = a.state(b"records/" + outcome_key("records", b.id, "port/manifest"))
    assert told is not None
    assert Outcome.decode(told).result is Result.OK
    for island in (a, b):
        island.world.settle(WITHIN_MS)
