"""`isthmus why`: what stands still and what to do about it, also when the node is down."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from node.api.exchange import ClientError
from node.api.peer_queries import WhyAnswer, why
from node.cli.access import access_options, find_access
from node.cli.exits import Exit
from node.cli.options import json_option
from node.cli.output import Output, document_of, table
from node.cli.said import SAID_HEADINGS, own_row, said_row
from node.cli.seen import PEER_HEADINGS, peer_row
from node.client import Client
from node.config import load_config
from node.diagnosis import Diagnosis, Verdict, elsewhere, why_down
from node.doctor.downed import look_at_downed
from node.home import Home
from node.local.testnet import read_testnet

_TIMEOUT_MS = 3_000
_STYLES = {"good": "green", "warning": "yellow", "fault": "red"}


@dataclass(frozen=True, slots=True)
class Asked:
    """One node to be asked, and where its files are when that is on this machine."""

    name: str
    url: str
    home: Home | None
    log_file: Path | None


@dataclass(frozen=True, slots=True)
class Found:
    """What came of it: an answer, or why there is none."""

    asked: Asked
    answer: WhyAnswer | None
    down: Diagnosis | None

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "url": self.asked.url,
            "answers": self.answer is not None,
            "down": None if self.down is None else document_of(self.down),
            **({} if self.answer is None else document_of(self.answer)),
        }


@click.command(
    "why", help="Why a node or its cluster stands still. Exit code 0: no fault; 1: a fault; 3: no answer."
)
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path), required=False)
@access_options
@json_option
def command(directory: Path | None, output: Output, **options: Any) -> int:
    """DIRECTORY is a testnet's folder. A node that is down is explained from its home."""
    found = [_ask(asked) for asked in _whom(directory or options["net"], options)]
    diagnoses = _summary(found)
    is_answered = any(item.answer is not None for item in found)
    has_fault = any(item.verdict == Verdict.FAULT.value for item in diagnoses)
    document = {
        "ok": not has_fault,
        "diagnoses": [document_of(item) for item in diagnoses],
        "nodes": [item.document() for item in found],
    }
    output.answer(document, lambda console: _show(console, found, diagnoses))
    if not is_answered:
        return Exit.NOT_REACHABLE
    return Exit.NEGATIVE if has_fault else Exit.OK


def _whom(net: Path | None, options: dict[str, Any]) -> list[Asked]:
    if options["urls"]:
        return [Asked(url, url, None, None) for url in options["urls"]]
    if net is not None:
        return [Asked(node.name, node.url, node.home, node.log_file) for node in read_testnet(net).nodes]
    if options["home"] is not None:
        config = load_config(Home(options["home"]), os.environ).config
        log_file = config.home.log_dir / "daemon.log"
        return [Asked(config.name, config.api.url, config.home, log_file)]
    (url,) = find_access((), None, None, None, None).urls
    return [Asked(url, url, None, None)]


def _ask(asked: Asked) -> Found:
    try:
        with Client((asked.url,), timeout_ms=_TIMEOUT_MS) as client:
            return Found(asked, client.look(why()), None)
    except ClientError:
        if asked.home is None:
            return Found(asked, None, why_down(elsewhere(asked.name, asked.url)))
        facts = look_at_downed(asked.home, asked.name, asked.url, asked.log_file, os.environ)
        return Found(asked, None, why_down(facts))


def _summary(found: Sequence[Found]) -> list[Diagnosis]:
    """The cluster as the node sees it that is furthest; each asked node as it sees itself; every other
    validator as that node sees it."""
    answers = [item.answer for item in found if item.answer is not None]
    own = {a.node.name: a.diagnoses[1] for a in answers}
    own |= {item.down.about: item.down for item in found if item.down is not None}
    if not answers:
        return list(own.values())
    best = max(answers, key=lambda answer: (answer.node.height, answer.node.round))
    others = {item.about: item for item in best.diagnoses[2:]}
    for name, told in own.items():
        seen = others.get(name)
        # What is seen from outside counts where the node finds nothing wrong with itself.
        if seen is None or told.verdict != Verdict.GOOD.value:
            others[name] = told
    return [best.diagnoses[0], *(others[name] for name in sorted(others))]


def _show(console: Console, found: Sequence[Found], diagnoses: Sequence[Diagnosis]) -> None:
    answers = [item.answer for item in found if item.answer is not None]
    if answers:
        best = max(answers, key=lambda answer: (answer.node.height, answer.node.round))
        node = best.node
        console.print(
            f"as {node.name} sees it: cluster {node.cluster_name}, epoch {node.epoch}, round {node.round}, "
            f"height {node.height}, weight {node.reachable_weight} of {node.total_weight}",
            markup=False,
        )
        console.print(table(PEER_HEADINGS, [peer_row(peer, node.round) for peer in best.peers]))
        console.print(table(SAID_HEADINGS, [own_row(node), *map(said_row, best.peers)]))
        for leader in node.left_out:
            console.print(f"{leader.name} is {leader.words}", markup=False)
    for item in diagnoses:
        console.print(f"{item.verdict:<8}", style=_STYLES[item.verdict], end="")
        about = "" if item.words.startswith(item.about) else f"{item.about}: "
        console.print(f"{about}{item.words}  ({item.code})", markup=False)
        if item.remedy and item.verdict != Verdict.GOOD.value:
            console.print(f"{'':8}{item.remedy}", markup=False, style="dim")
