"""Whatever is asked for reaches the cluster that is made: its genesis, and each daemon as it runs."""

from dataclasses import replace
from pathlib import Path

from bench.cluster.ground import open_local
from bench.cluster.scenarios import BY_NAME, COMMIT_TARGET_MS, Scenario
from node.config import NodeConfig, load_config
from node.genesis import Genesis
from node.ledger.params import Params

ODD = replace(
    BY_NAME["idle"],
    nodes=1,
    clients=3,
    batch_bytes=131_072,
    idle_interval_ms=0,
    fsync=False,
    verification_certificates=True,
)


async def made(scenario: Scenario, directory: Path) -> tuple[Genesis, NodeConfig, int]:
    """The genesis, the settings by which the daemon runs, and how many may sign."""
    async with open_local(scenario, directory) as ground:
        assert ground.daemons is not None
        testnet = ground.daemons.testnet
        genesis = Genesis.from_json(testnet.genesis_file.read_text())
        told = Path(f"/proc/{ground.pids()['node0']}/environ").read_bytes().decode().split("\0")
        environ = dict(line.split("=", 1) for line in told if line.startswith("ISTHMUS_"))
        return genesis, load_config(testnet.nodes[0].home, environ).config, len(ground.seeds)


async def test_the_cluster_is_the_one_that_was_asked_for(tmp_path: Path) -> None:
    genesis, config, signers = await made(ODD, tmp_path / "odd")
    assert (genesis.params.batch_bytes_max, genesis.params.idle_interval_ms) == (131_072, 0)
    assert (config.storage.fsync, config.consensus.verification_certificates) == (False, True)
    assert config.limits.commit_target_ms == COMMIT_TARGET_MS
    assert signers == 3
    assert sum(member.name.startswith("bench-") for member in genesis.members) == 3


async def test_what_nobody_asks_for_stays_as_it_is(tmp_path: Path) -> None:
    genesis, config, _ = await made(replace(BY_NAME["idle"], nodes=1), tmp_path / "usual")
    usual = Params(genesis.params.created_ms)
    assert genesis.params == usual
    assert (config.storage.fsync, config.consensus.verification_certificates) == (True, False)
