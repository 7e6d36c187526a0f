"""How a command finds the nodes it asks, the hash it trusts and the key it signs with.

    --url URL (repeatable, ISTHMUS_URL)   these nodes
    --net DIR (ISTHMUS_NET)               all nodes of a local testnet, its genesis hash, its client key
    --home DIR (ISTHMUS_HOME)             the node of a home and its genesis hash

The first that is given counts; --trust and --key add to it. With a hash to trust, answers are verified:
a node that lies is found out instead of believed.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from consensus import SigningKey
from node.cli.exits import Exit
from node.cli.failures import Failure
from node.cli.hashes import HashType
from node.client import Client
from node.config import load_config
from node.genesis import Genesis
from node.home import Home, read_key
from node.local.testnet import read_testnet

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])
_DEFAULT_URL = "http://127.0.0.1:27601"


@dataclass(frozen=True, slots=True)
class Access:
    """The nodes to ask; `trust` is None when nothing pins the cluster, `key_file` None when none is known."""

    urls: tuple[str, ...]
    trust: bytes | None
    key_file: Path | None

    def client(self) -> Client:
        """A client to be used as a context manager."""
        return Client(self.urls, trust=self.trust)

    def signing_key(self) -> SigningKey:
        """The key to sign with. Raises Failure without one, KeyFileError for a bad one."""
        if self.key_file is None:
            raise Failure(
                Exit.USAGE,
                "a transaction must be signed, and no key is named",
                "give --key FILE (or ISTHMUS_KEY); a local testnet has keys/client.key: --net DIR finds it",
            )
        return SigningKey(read_key(self.key_file))


def access_options(function: _Decorated) -> _Decorated:
    """--url, --net, --home, --trust, --key; the command gets them as arguments for `find_access`."""
    file = click.Path(exists=True, dir_okay=False, path_type=Path)
    folder = click.Path(exists=True, file_okay=False, path_type=Path)
    for decorate in (
        click.option(
            "--key", type=file, envvar="ISTHMUS_KEY", help="Key file to sign with (or ISTHMUS_KEY)."
        ),
        click.option(
            "--trust", type=HashType(), envvar="ISTHMUS_TRUST", help="The genesis hash to verify against."
        ),
        click.option("--home", type=folder, envvar="ISTHMUS_HOME", help="A node's folder: asks that node."),
        click.option("--net", type=folder, envvar="ISTHMUS_NET", help="A testnet's folder: asks its nodes."),
        click.option(
            "--url", "urls", multiple=True, envvar="ISTHMUS_URL", help="A node's API; may be repeated."
        ),
    ):
        function = decorate(function)
    return function


def find_access(
    urls: tuple[str, ...], net: Path | None, home: Path | None, trust: bytes | None, key: Path | None
) -> Access:
    """What the options come to. Raises TestnetError, ConfigError, GenesisError."""
    if urls:
        return Access(urls, trust, key)
    if net is not None:
        testnet = read_testnet(net)
        found = tuple(node.url for node in testnet.nodes)
        return Access(found, trust or testnet.cluster_id, key or testnet.client_key_file)
    if home is not None:
        config = load_config(Home(home), os.environ).config
        if trust is None and config.home.genesis_file.exists():
            trust = Genesis.from_json(config.home.genesis_text()).cluster_id
        return Access((config.api.url,), trust, key)
    return Access((_DEFAULT_URL,), trust, key)
