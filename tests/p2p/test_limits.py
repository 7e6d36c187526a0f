"""The table of limits in the design is the code's: every bound, its default, and a metric that exists."""

import re
from dataclasses import fields
from pathlib import Path

from p2p import GossipConfig, P2PConfig, QueueLimit
from tests.p2p.nodes import make_config, make_places, running

DESIGN = Path(__file__).parents[2] / "p2p" / "DESIGN.md"
_ROW = re.compile(r"\| `([a-z_.]+)` \| ([0-9,/ ]+) \| (`[a-z_]+`|-) \| (.+) \|")


def rows() -> dict[str, tuple[tuple[int, ...], str]]:
    """Bound -> its default (items and bytes of a queue), and its metric or "-"."""
    _, _, limits = DESIGN.read_text(encoding="utf-8").partition("\n## Limits\n")
    lines = [line for line in limits.splitlines() if line.startswith("| `")]
    found = {}
    for line in lines:
        match = _ROW.fullmatch(line)
        assert match, f"not a row of the table: {line}"
        numbers = tuple(int(part.strip().replace(",", "")) for part in match[2].split("/"))
        assert match[1] not in found, f"{match[1]} stands there twice"
        found[match[1]] = numbers, match[3].strip("`")
    return found


def bounds() -> dict[str, tuple[int, ...]]:
    """Every number in the configuration that bounds something, with its default."""
    config = make_config()
    found: dict[str, tuple[int, ...]] = {}
    unbounding = ("listen_port", "protocol_version")
    defaults = P2PConfig("", 0, bytes(32), 0, "", ())
    for field in fields(config):
        value = getattr(defaults, field.name)
        if isinstance(value, QueueLimit):
            found[field.name] = value.items, value.bytes
        elif isinstance(value, int) and field.name not in unbounding:
            found[field.name] = (value,)
    for field in fields(GossipConfig):
        found[f"gossip.{field.name}"] = (getattr(defaults.gossip, field.name),)
    return found


def test_every_bound_stands_in_the_table_with_its_default_and_nothing_else_does() -> None:
    assert {name: numbers for name, (numbers, _) in rows().items()} == bounds()


async def test_every_metric_of_the_table_is_exported() -> None:
    async with make_places(1) as [node], running(node) as network:
        exported = {*network.limits(), *network.counters()}
    named = {metric for _, metric in rows().values() if metric != "-"}
    assert named <= exported
    assert {name for name in network.limits() if name.startswith("gossip")} <= named
