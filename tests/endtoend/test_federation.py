"""Two clusters of real daemons, started apart, federate: records cross, whatever is killed in between.

Nodes of beta are nowhere written down: they cannot be dialled, dial out, and are pulled from over the same
links.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio

from consensus import Digest
from node.cli.exits import Exit
from node.cli.main import run
from node.ledger.federation.changes import RetireCluster, SetReaders
from node.ledger.federation.grants import Grant
from tests.endtoend.federating import admission, all_acknowledged, decide, held, lane_from, share, write
from tests.endtoend.running import RunningCluster
from tests.endtoend.talk import PATIENCE_SECONDS, all_ready, client_of, log_where, new_record, wallet_of

_LOOK_AGAIN_SECONDS = 0.05
Pair = tuple[RunningCluster, RunningCluster]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """alpha of two nodes and beta of one, started and strangers to each other."""
    directory = tmp_path_factory.mktemp("federation")
    alpha, beta = write(directory, "ports.alpha", 2), write(directory, "ports.beta", 1)
    try:
        alpha.start_missing()
        beta.start_missing()
        yield alpha, beta
    finally:
        alpha.close()
        beta.close()


async def test_a_record_crosses_and_its_source_hears_that_it_arrived(pair: Pair) -> None:
    alpha, beta = pair
    await all_ready(alpha)
    await all_ready(beta)
    await decide(alpha, *admission(beta, dialled=False))
    await decide(beta, *admission(alpha, dialled=True))
    height, _ = await share(alpha, beta)
    await all_acknowledged(alpha, beta, 1, height)
    for at, name in ((alpha, "ports.beta"), (beta, "ports.alpha")):
        (shown,) = await held(at)
        assert (shown.name, shown.status) == (name, "active")
        assert shown.height > 0


async def test_messages_cross_both_ways_each_once(pair: Pair) -> None:
    alpha, beta = pair
    for _ in range(3):
        (there, _), (back, _) = await share(alpha, beta), await share(beta, alpha)
    await all_acknowledged(alpha, beta, 4, there)
    await all_acknowledged(beta, alpha, 3, back)


async def asked(at: RunningCluster, capture: pytest.CaptureFixture[str], *words: object) -> tuple[int, Any]:
    """(exit code, the answer) of a command line to this cluster, as its member."""
    line = [*map(str, words), "--net", str(at.testnet.directory), "--json"]
    code = await trio.to_thread.run_sync(run, line)
    return code, json.loads(capture.readouterr().out)


async def test_a_member_reads_the_other_cluster_and_proves_what_was_delivered(
    pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alpha, beta = pair
    record_id, transaction = new_record(wallet_of(beta.testnet))
    async with client_of(beta) as client:
        assert (await client.submit(transaction)).ok
    name, proof = f"ports.beta/records/{record_id}", tmp_path / "proof"
    code, answer = await asked(alpha, capsys, "query", name)
    assert (code, answer["error"]["code"]) == (Exit.REFUSED, "refused")
    await decide(beta, SetReaders(Digest(alpha.testnet.cluster_id), (Grant("records/", may_list=True),)))
    code, answer = await asked(alpha, capsys, "query", name, "--proof", proof, "--timeout", 60)
    assert (code, answer.get("verified")) == (0, True), (answer, alpha.last_words(), beta.last_words())
    assert answer["height"] <= answer["anchored_height"]
    trust = ("--trust", beta.testnet.cluster_id.hex(), "--json")
    assert await trio.to_thread.run_sync(run, ["verify", str(proof), *trust]) == 0
    capsys.readouterr()
    code, answer = await asked(alpha, capsys, "query", f"{name}-not-there", "--timeout", 60)
    assert (code, answer.get("verified"), answer.get("value")) == (Exit.NEGATIVE, True, None), answer
    code, answer = await asked(alpha, capsys, "query", "--catalogue", record_id)
    assert (code, [found["name"] for found in answer["found"]]) == (0, [name])
    code, answer = await asked(alpha, capsys, "prove", "message", "ports.beta", 1, "--out", tmp_path / "m")
    assert code == 0, answer
    assert await trio.to_thread.run_sync(run, ["verify", str(tmp_path / "m"), *trust]) == 0


async def test_what_was_sent_before_everything_was_killed_arrives_once_it_runs_again(pair: Pair) -> None:
    alpha, beta = pair
    beta.kill(*beta.names)
    for _ in range(3):
        height, _ = await share(alpha, beta)
    assert (await lane_from(alpha, beta, height)).pending == 3
    alpha.kill(*alpha.names)
    beta.start_missing()
    await all_ready(beta)
    beta.kill(*beta.names)
    alpha.start_missing()
    beta.start_missing()
    await all_acknowledged(alpha, beta, 7, height)


metric = 'isthmus_federation_{}{{cluster="ports.beta"}}'.format


async def linked(alpha: RunningCluster) -> tuple[str, dict[str, str]]:
    """The first node of alpha that tells of a link to beta, and what its metrics say of beta: beta dials as
    many nodes as one honest one needs, which are not all."""
    lines = dict[str, str]()
    async with httpx2.AsyncClient(trust_env=False) as http:
        with trio.move_on_after(PATIENCE_SECONDS):
            while True:
                for node in alpha.testnet.nodes:
                    text = (await http.get(f"{node.url}/metrics")).text
                    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if "ports.beta" in line)
                    if lines.get(metric("links")) == "1.0":
                        return node.name, lines
                await trio.sleep(_LOOK_AGAIN_SECONDS)
    raise AssertionError(f"no node of alpha is linked: {lines}\n{alpha.last_words()}")


async def test_metrics_tell_how_the_other_cluster_is_held(pair: Pair) -> None:
    alpha, _ = pair
    _, lines = await linked(alpha)
    assert float(lines[metric("frozen")]) == 0
    assert float(lines[metric("anchor_height")]) > 0


async def test_a_retired_cluster_is_not_followed_any_more(pair: Pair) -> None:
    alpha, beta = pair
    name, _ = await linked(alpha)
    await decide(alpha, RetireCluster(Digest(beta.testnet.cluster_id)))
    told = await log_where(alpha, name, "courier_ended")  # it saw the decision in what readers see
    await log_where(alpha, "node0", "courier_ended")
    assert [shown.status for shown in await held(alpha)] == ["retired"]
    await log_where(alpha, name, "foreign_disconnected", told.index("courier_ended"))
