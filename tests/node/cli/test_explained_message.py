"""`isthmus explain SEQUENCE --cluster NAME`: what a message to another cluster waits for, in words."""

import json

import pytest

from node.anchoring.lanes.tracing import Step
from node.cli.commands import explain
from node.cli.exits import Exit
from tests.node.api.live import serving
from tests.node.cli.test_kept_evidence import ask, held_by
from tests.node.ledger.federation.cluster import settle
from tests.node.ledger.federation.test_sharing import two


def test_every_step_has_words() -> None:
    assert set(explain._STEPS) == {step.value for step in Step}


async def test_a_message_is_explained_while_it_waits_and_once_it_is_settled(
    capsys: pytest.CaptureFixture[str],
) -> None:
    a, b = two()
    assert a.put("port/manifest").ok
    assert a.share("port/manifest", b).ok
    async with serving(held_by(a)) as live:
        words = ("explain", "1", "--cluster", b.id.hex(), "--url", live.url)
        assert await ask(*words) == 0
        assert "sent at      our height" in capsys.readouterr().out
        settle(a, b)
        assert await ask(*words, "--json") == 0
        answer = json.loads(capsys.readouterr().out)
        assert (answer["step"], answer["result"]) == ("nothing", "ok")
        assert await ask("explain", "2", *words[2:]) == 0
        assert "not-sent" in capsys.readouterr().out


@pytest.mark.parametrize("number", ["0", "-1", "busy"])
async def test_what_is_no_number_of_a_message_is_told(
    number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await ask("explain", "--cluster", "ports.beta", "--", number) == Exit.USAGE
    assert "is no message's number" in capsys.readouterr().err
