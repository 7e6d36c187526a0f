"""Finds out whether this machine can lose real packets, by trying, and opens what that takes."""

import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from bench.cluster.links import Findings, Links, Means, choose
from bench.cluster.scenarios import Scenario
from bench.namespaces import TOOLS, NamespaceError, Namespaces, open_namespaces
from bench.packetloss import PacketLoss


@dataclass(frozen=True, slots=True)
class Wiring:
    """Open namespaces, and the link in them that can lose packets."""

    namespaces: Namespaces
    loss: PacketLoss


@contextmanager
def open_wiring(scenario: Scenario) -> Iterator[tuple[Links, Wiring | None]]:
    """For a scenario with a fault in a link: by what means, and the wiring when it is by namespaces; until
    the end this thread is in one of them, see `open_namespaces`."""
    found = look_around()
    wiring = None
    with ExitStack() as stack:
        if not found.obstacle:
            try:
                wiring = stack.enter_context(_open(scenario.nodes))
            except NamespaceError as error:
                found = replace(found, refusal=str(error))
        yield choose(found), wiring


def look_around() -> Findings:
    """What can be known without trying."""
    missing = tuple(tool for tool in TOOLS if shutil.which(tool) is None)
    return Findings(platform.system(), os.geteuid() == 0, missing)


def told(scenario: Scenario, links: Links) -> Scenario:
    """The scenario that knows its means; real losses are in its label, since stalls are not like them."""
    changed = scenario.changed
    if links.means is Means.NAMESPACES:
        changed = (*changed, links.means.value)
    return replace(scenario, links=links, changed=changed)


@contextmanager
def _open(nodes: int) -> Iterator[Wiring]:
    with open_namespaces(nodes) as namespaces:
        loss = PacketLoss(namespaces, 0, 1)
        loss.check()
        yield Wiring(namespaces, loss)
