"""Check 6: no process ended that neither we nor a refused write ended, and one that met such a write did."""

from collections.abc import Sequence

from bench.chaos.checks.finding import Finding, finding


def check_processes(starts: int, deaths: Sequence[str], stayed: Sequence[str]) -> Finding:
    """`deaths` and `stayed` are sentences; a node that ends by itself is a fault of Isthmus."""
    return finding("nodes end when they must", starts, "starts", (*deaths, *stayed))
