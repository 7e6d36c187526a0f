"""`isthmus doctor`: what would go wrong, before the node starts."""

import os

import click
import trio
from rich.console import Console

from node.cli.exits import Exit
from node.cli.options import home_option, json_option
from node.cli.output import Output
from node.doctor.belongings import look_at_home
from node.doctor.finding import Finding, Grade
from node.doctor.kept import look_at_kept
from node.doctor.machine import look_at_machine
from node.doctor.neighbours import look_at_neighbours
from node.home import Home

_MARKS = {
    Grade.GOOD: "[green]good[/]   ",
    Grade.WARNING: "[yellow]warning[/]",
    Grade.FAULT: "[red]fault[/]  ",
    Grade.SKIPPED: "[dim]skipped[/]",
}


@click.command(
    "doctor", help="Check a node's home, machine and neighbours before it starts; changes nothing."
)
@home_option
@click.option("--no-peers", is_flag=True, help="Knock at nobody's door.")
@json_option
def command(home: Home, no_peers: bool, output: Output) -> int:
    """Exit code 1 when anything would keep the node from taking part."""
    belongings, findings = look_at_home(home, os.environ)
    if belongings.config is not None:
        findings += look_at_machine(belongings.config, is_running=belongings.is_running)
        findings.append(look_at_kept(belongings.config))
        if not no_peers and belongings.genesis is not None and belongings.identity is not None:
            findings += trio.run(
                lambda config, genesis, identity: look_at_neighbours(
                    config, genesis, identity, is_running=belongings.is_running
                ),
                belongings.config,
                belongings.genesis,
                belongings.identity,
            )
    faults = sum(finding.grade is Grade.FAULT for finding in findings)
    warnings = sum(finding.grade is Grade.WARNING for finding in findings)
    document = {
        "home": str(home.path),
        "ok": faults == 0,
        "faults": faults,
        "warnings": warnings,
        "findings": [
            {"check": f.check, "grade": f.grade.value, "words": f.words, "remedy": f.remedy} for f in findings
        ],
    }
    output.answer(document, lambda console: _show(console, findings, faults, warnings))
    return Exit.NEGATIVE if faults else Exit.OK


def _show(console: Console, findings: list[Finding], faults: int, warnings: int) -> None:
    for finding in findings:
        console.print(f"{_MARKS[finding.grade]}  ", end="")
        console.print(f"{finding.check:14} {finding.words}", markup=False)
        if finding.remedy:
            console.print(f"{'':25}{finding.remedy}", markup=False, style="dim")
    besides = f"{warnings} {'warning' if warnings == 1 else 'warnings'}"
    if faults:
        console.print(
            f"{faults} {'fault' if faults == 1 else 'faults'}, {besides}: it would not take part as it is."
        )
    else:
        console.print(f"No faults, {besides}: it may start.")
