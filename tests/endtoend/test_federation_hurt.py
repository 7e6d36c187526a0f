"""A federation of real clusters that is hurt: couriers' nodes killed, a cluster away, everybody stopped, one
more that joins. Every message ends once, as delivered or expired with a receipt, and nobody acts by hand.
"""

import signal
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx2
import pytest
import trio

from tests.endtoend.federating import (
    admission,
    all_acknowledged,
    decide,
    held,
    outcome,
    share,
    write,
)
from tests.endtoend.running import RunningCluster
from tests.endtoend.talk import all_ready

SHORT_MS = 2_500
"""The deadline of a message that will be late."""


@dataclass
class Sea:
    """Clusters by name, and how many messages were sent from which to which."""

    clusters: dict[str, RunningCluster]
    sent: dict[tuple[str, str], int] = field(default_factory=dict)
    heights: dict[tuple[str, str], int] = field(default_factory=dict)

    def __getitem__(self, name: str) -> RunningCluster:
        return self.clusters[name]

    async def federate(self, first: str, second: str) -> None:
        """Each admits the other."""
        await decide(self[first], *admission(self[second], dialled=True))
        await decide(self[second], *admission(self[first], dialled=True))

    async def share(self, source: str, destination: str, **options: int) -> int:
        """One more message; its sequence."""
        way = source, destination
        self.heights[way], sequence = await share(self[source], self[destination], **options)
        self.sent[way] = self.sent.get(way, 0) + 1
        return sequence

    async def all_ended(self) -> None:
        """Until every message ever sent has its outcome, once."""
        for way, count in self.sent.items():
            source, destination = way
            await all_acknowledged(self[source], self[destination], count, self.heights[way])


@pytest.fixture(scope="module")
def sea(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sea]:
    """home has four nodes, east and west have one; north will join later."""
    directory = tmp_path_factory.mktemp("sea")
    sizes = {"home": 4, "east": 1, "west": 1, "north": 1}
    clusters = {name: write(directory, f"sea.{name}", nodes) for name, nodes in sizes.items()}
    try:
        for name in ("home", "east", "west"):
            clusters[name].start_missing()
        yield Sea(clusters)
    finally:
        for cluster in clusters.values():
            cluster.close()


async def busiest_courier(cluster: RunningCluster) -> str:
    """The node that submitted most bundles."""
    submitted: dict[str, float] = {}
    async with httpx2.AsyncClient(trust_env=False) as http:
        for node in cluster.testnet.nodes:
            lines = (await http.get(f"{node.url}/metrics")).text.splitlines()
            submitted[node.name] = sum(
                float(line.rsplit(" ", 1)[1])
                for line in lines
                if line.startswith("isthmus_federation_courier_submitted_total")
            )
    assert any(submitted.values()), submitted
    return max(submitted, key=lambda name: submitted[name])


async def test_three_clusters_admit_each_other_and_speak(sea: Sea) -> None:
    for name in ("home", "east", "west"):
        await all_ready(sea[name])
    for first, second in (("home", "east"), ("home", "west"), ("east", "west")):
        await sea.federate(first, second)
    for way in (("home", "east"), ("east", "home"), ("west", "home"), ("east", "west")):
        await sea.share(*way)
    await sea.all_ended()


async def test_the_node_whose_courier_brings_everything_is_killed_and_its_cluster_goes_on(sea: Sea) -> None:
    victim = await busiest_courier(sea["home"])
    sea["home"].kill(victim)
    for _ in range(2):
        await sea.share("home", "east")
        await sea.share("west", "home")
    await sea.all_ended()
    sea["home"].start(victim)


async def test_a_cluster_that_is_away_expires_what_is_late_and_takes_the_rest(sea: Sea) -> None:
    sea["east"].pause("node0")
    late = await sea.share("home", "east", lasts_ms=SHORT_MS)
    patient = await sea.share("home", "east")
    # The others do not notice.
    await sea.share("home", "west")
    west = ("home", "west")
    await all_acknowledged(sea["home"], sea["west"], sea.sent[west], sea.heights[west])
    await trio.sleep(SHORT_MS / 1000)
    sea["east"].resume("node0")
    await sea.all_ended()
    assert await outcome(sea["home"], sea["east"], late) == "expired"
    assert await outcome(sea["home"], sea["east"], patient) == "ok"


async def test_a_fourth_cluster_joins_three_that_run(sea: Sea) -> None:
    sea["north"].start_missing()
    await all_ready(sea["north"])
    for name in ("home", "east", "west"):
        await sea.federate("north", name)
    for way in (("north", "home"), ("east", "north"), ("north", "west")):
        await sea.share(*way)
    await sea.all_ended()
    assert len(await held(sea["home"])) == 3


async def test_everything_is_stopped_with_ctrl_c_and_goes_on_where_it_was(sea: Sea) -> None:
    await sea.share("home", "north")
    for cluster in sea.clusters.values():
        for name in cluster.names:
            cluster.process(name).send_signal(signal.SIGINT)
    for cluster in sea.clusters.values():
        for name in cluster.names:
            assert cluster.end_of(name) == 0, cluster.last_words()
        cluster.start_missing()
    for cluster in sea.clusters.values():
        await all_ready(cluster)
    await sea.share("west", "north")
    await sea.all_ended()
    assert {shown.status for cluster in sea.clusters.values() for shown in await held(cluster)} == {"active"}
