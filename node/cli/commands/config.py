"""`isthmus config`: what a node's settings are, where each comes from, and whether they are accepted."""

import os
from dataclasses import fields
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from node.cli.group import CommandTable
from node.cli.options import home_option, json_option
from node.cli.output import Output
from node.config import PEERS, SECTIONS, LoadedConfig, knobs_of, load_config
from node.genesis import Genesis
from node.home import Home


@click.group("config", cls=CommandTable, help="Show or check a node's configuration.")
def command() -> None:
    """The group."""


@command.command("show", help="Print the settings; --effective includes those that are defaults.")
@home_option
@json_option
@click.option("--effective", is_flag=True, help="Every setting, with its purpose and where it comes from.")
def show(home: Home, output: Output, effective: bool) -> None:
    """TOML that could be read back, with remarks."""
    loaded = load_config(home, os.environ)
    settings = _settings(loaded, effective)
    document = {
        "home": str(home.path),
        "settings": {path: _for_json(value) for path, value, _, _ in settings},
        "peers": {
            section: [
                {key: _for_json(getattr(peer, key)) for key in knobs_of(PEERS[section])} for peer in peers
            ]
            for section, peers in _peers(loaded)
        },
        "origins": dict(loaded.origins),
    }

    def for_people(console: Console) -> None:
        section = ""
        for path, value, purpose, origin in settings:
            before, _, key = path.rpartition(".")
            if before != section:
                section = before
                console.print(f"\n[{section}]", markup=False, style="bold")
            shown = f"# {key} is not set" if value is None else f"{key} = {_for_toml(value)}"
            line = Text(shown.ljust(36))
            line.append(f"  # {purpose}" + (f" ({origin})" if origin else ""), style="dim")
            console.print(line)
        for section, peers in _peers(loaded):
            for peer in peers:
                console.print(f"\n[[{section}.peers]]", markup=False, style="bold")
                for key in knobs_of(PEERS[section]):
                    console.print(f"{key} = {_for_toml(getattr(peer, key))}", markup=False)

    output.answer(document, for_people)


@command.command("check", help="Check config.toml, the environment and genesis.json; exit code 5 when wrong.")
@home_option
@json_option
def check(home: Home, output: Output) -> None:
    """Says what is wrong, all of it, or that all is well."""
    loaded = load_config(home, os.environ)
    cluster_id = None
    if home.genesis_file.exists():
        cluster_id = Genesis.from_json(home.genesis_text()).cluster_id.hex()
    document = {
        "home": str(home.path),
        "ok": True,
        "overrides": len(loaded.origins),
        "cluster_id": cluster_id,
    }

    def for_people(console: Console) -> None:
        console.print(f"{home.config_file} is in order ({len(loaded.origins)} overrides)", markup=False)
        console.print(
            f"genesis.json is in order, cluster id {cluster_id}"
            if cluster_id
            else "genesis.json is not there yet"
        )

    output.answer(document, for_people)


def _peers(loaded: LoadedConfig) -> list[tuple[str, tuple[object, ...]]]:
    """The peer entries of each section that has some."""
    return [(section, tuple(getattr(loaded.config, section).peers)) for section in PEERS]


def _settings(loaded: LoadedConfig, effective: bool) -> list[tuple[str, Any, str, str]]:
    """(path, value, purpose, origin) in the order of the sections; "" is the origin of a default."""
    found = []
    for prefix, holder in (("", loaded.config), *((f"{s}.", getattr(loaded.config, s)) for s in SECTIONS)):
        knobs = knobs_of(type(holder))
        for field in fields(holder):
            path = prefix + field.name
            if field.name in knobs and (effective or path in loaded.origins):
                purpose, origin = knobs[field.name].purpose, loaded.origins.get(path, "")
                found.append((path, getattr(holder, field.name), purpose, origin))
    return found


def _for_json(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_for_json(item) for item in value]
    return value.hex() if isinstance(value, bytes) else value


def _for_toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value:_}" if value >= 100_000 else str(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(_for_toml(item) for item in value) + "]"
    return f'"{value.hex() if isinstance(value, bytes) else value}"'
