"""The options that mean the same in every command: --json, --home, --url, --key, --name of a node."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from node.cli.output import Output
from node.home import Home, default_home
from node.ledger.names import check_name

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


def _to_output(_context: click.Context, _parameter: click.Parameter, value: bool) -> Output:
    return Output(value)


def _to_home(_context: click.Context, _parameter: click.Parameter, value: str | None) -> Home:
    return default_home(value, Path.home())


def _to_name(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Checked before a key is made: config.toml and the ledger would refuse the home otherwise."""
    try:
        return check_name(value, "a node's name")
    except ValueError as wrong:
        raise click.BadParameter(str(wrong)) from wrong


def json_option(function: _Decorated) -> _Decorated:
    """--json; the command receives `output`."""
    decorate = click.option(
        "--json", "output", is_flag=True, callback=_to_output, help="Answer with one JSON document."
    )
    return decorate(function)


def home_option(function: _Decorated) -> _Decorated:
    """--home or ISTHMUS_HOME; the command receives `home`."""
    decorate = click.option(
        "--home",
        metavar="DIR",
        envvar="ISTHMUS_HOME",
        callback=_to_home,
        help="The node's folder (or ISTHMUS_HOME; otherwise ~/.isthmus-node).",
    )
    return decorate(function)


def name_option(default: str) -> Callable[[_Decorated], _Decorated]:
    """--name of a new node; the command receives `name`."""
    return click.option(
        "--name", default=default, show_default=True, callback=_to_name, help="What people call this node."
    )
