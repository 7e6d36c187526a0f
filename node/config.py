"""How one node is set up: defaults in code, a few overrides in TOML, the environment on top.

`config.toml` holds only what differs from the defaults, so that a new version's better default reaches
old homes. Every value is checked with a sentence, an unknown key is an error with a suggestion, and all
problems are told at once. `ISTHMUS_<SECTION>__<KEY>` overrides a value (`ISTHMUS_API__PORT=8080`; keys
outside a section: `ISTHMUS__NAME`). What every validator must agree on is not here but in the genesis.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from node import knobs
from node.home import Home
from node.knobs import KNOB, Knob

_MIB = 1024 * 1024
_GIB = 1024 * _MIB
_ENVIRONMENT = re.compile(r"ISTHMUS(?:_([A-Z0-9]+))?__([A-Z0-9_]+)")
PEERS_MAX = 256
KEEP_BLOCKS_MIN = 100
"""Of `storage.keep_blocks`, where it is not 0."""
RECORDING_BYTES_MIN = _MIB
"""Below this a recording would end before it has begun."""


class ConfigError(Exception):
    """The user's fault: every problem found, each a sentence that says what to write instead."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


# --- the settings -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PeerConfig:
    """Where another node is found: `[[p2p.peers]]` in TOML. The key decides who it is, not the address."""

    name: str = knobs.name("", "what people call that node")
    node_key: bytes = knobs.key("its node key: 64 hexadecimal digits")
    host: str = knobs.host("", "address or DNS name")
    port: int = knobs.integer(0, 1, 65535, "TCP port")


@dataclass(frozen=True, slots=True)
class P2PSettings:
    """Links to other nodes: `[p2p]`."""

    host: str = knobs.host("127.0.0.1", "address to listen on")
    port: int = knobs.integer(27600, 1, 65535, "TCP port to listen on")
    advertise_host: str | None = knobs.host(
        None, "address other nodes should dial, when it differs from host"
    )
    advertise_port: int | None = knobs.integer(
        None, 1, 65535, "port other nodes should dial, when it differs"
    )
    peers: tuple[PeerConfig, ...] = ()
    allowed: tuple[bytes, ...] = knobs.keys("node keys of observers and joining nodes that may connect")


@dataclass(frozen=True, slots=True)
class ForeignPeerConfig:
    """Where a node of another cluster is found: `[[federation.peers]]` in TOML. Only keys that the ledger
    knows of that cluster are dialled; this says where, never who."""

    cluster: bytes = knobs.key("the other cluster's id: 64 hexadecimal digits")
    node_key: bytes = knobs.key("its node key: 64 hexadecimal digits")
    host: str = knobs.host("", "address or DNS name")
    port: int = knobs.integer(0, 1, 65535, "TCP port")


@dataclass(frozen=True, slots=True)
class FederationSettings:
    """Links to other clusters, beside what their admission says: `[federation]`."""

    peers: tuple[ForeignPeerConfig, ...] = ()


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """The HTTP door: `[api]`."""

    host: str = knobs.host("127.0.0.1", "address to listen on; anything but loopback is your decision")
    port: int = knobs.integer(27601, 1, 65535, "TCP port to listen on")
    allowed_hosts: tuple[str, ...] = knobs.hosts(
        "names, beside loopback and host itself, by which anybody may ask the API"
    )

    @property
    def url(self) -> str:
        """Where a program on this machine asks. Who listens on every address (0.0.0.0, ::), as in a
        container, is asked on loopback: an unspecified address is no name that a node answers to."""
        return f"http://{self._name or '127.0.0.1'}:{self.port}"

    @property
    def own_names(self) -> tuple[str, ...]:
        """Under which the API answers besides those allowed: what it listens on, if that is no unspecified
        address. A page that DNS rebinding lures here comes under a name of its maker's, never under these."""
        return (self._name,) if self._name else ()

    @property
    def _name(self) -> str:
        """What this listens on as it stands in a URL; empty when that is every address."""
        address = knobs.address_of(self.host)
        if address is None:
            return self.host
        if address.is_unspecified:
            return "" if address.version == 4 else "[::1]"
        return str(address) if address.version == 4 else f"[{address}]"


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """What lies on disk: `[storage]`. The map size is address space, not used disk."""

    map_bytes: int = knobs.integer(256 * _GIB, _MIB, 2**46, "largest size of each database")
    fsync: bool = knobs.flag(
        True, "false only for measurements: a power cut may then lose signatures' records"
    )
    keep_blocks: int = knobs.integer(
        0, 0, 2**46, "newest heights whose transactions a running node keeps (100 or more); 0: all of them"
    )
    recording_bytes_max: int = knobs.integer(
        0, 0, 2**46, "disk that recordings for `isthmus-bench replay` may take; 0: nothing is recorded"
    )


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """Bounds a machine's owner may want to change: `[limits]`. Everything else is bounded in code."""

    connections: int = knobs.integer(256, 8, 65536, "open connections of the API")
    requests_per_second: int = knobs.integer(
        500, 0, 1_000_000, "API requests of one address but loopback, four seconds' at once; 0: any number"
    )
    transactions_per_second: int = knobs.integer(
        2_000, 0, 1_000_000, "transactions of one key taken in here, ten seconds' at once; 0: any number"
    )
    commit_target_ms: int = knobs.integer(
        16, 0, 60_000, "commits slower than this hold clients back; 0: throughput before latency"
    )
    event_streams: int = knobs.integer(64, 1, 65536, "open event streams of the API")
    waiting_requests: int = knobs.integer(4_096, 16, 1_000_000, "requests that wait for a receipt")
    verify_workers: int = knobs.integer(
        1, 0, 64, "processes that check signatures; 0: in slices between other work"
    )


@dataclass(frozen=True, slots=True)
class ConsensusSettings:
    """Patience of this node, and whom it believes: `[consensus]`. What is agreed does not depend on it."""

    base_timeout_ms: int = knobs.integer(600, 10, 60_000, "how long a round may take before we give it up")
    verification_certificates: bool = knobs.flag(
        False, "true: do not check again the signatures that more than a third of the weight checked"
    )


@dataclass(frozen=True, slots=True)
class LoggingSettings:
    """What the daemon says: `[logging]`."""

    format: str = knobs.choice(
        "auto", ("auto", "json", "console"), "auto: console on a terminal, JSON elsewhere"
    )
    level: str = knobs.choice(
        "info", ("debug", "info", "warning", "error"), "least severe event that is shown"
    )


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """All of one node's settings; `home` comes from the command line or ISTHMUS_HOME."""

    home: Home
    name: str = knobs.name("node", "what people call this node")
    role: str = knobs.choice(
        "validator",
        ("validator", "joining", "observer"),
        "joining: a validator that genesis does not name; governance admits it; an observer never votes",
    )
    halt_height: int = knobs.integer(
        0, 0, 2**52, "leave once this height is stored, and sign no header above it; 0: go on"
    )
    p2p: P2PSettings = P2PSettings()
    federation: FederationSettings = FederationSettings()
    api: ApiSettings = ApiSettings()
    storage: StorageSettings = StorageSettings()
    limits: LimitSettings = LimitSettings()
    consensus: ConsensusSettings = ConsensusSettings()
    logging: LoggingSettings = LoggingSettings()


SECTIONS: Mapping[str, type] = {
    "p2p": P2PSettings,
    "federation": FederationSettings,
    "api": ApiSettings,
    "storage": StorageSettings,
    "limits": LimitSettings,
    "consensus": ConsensusSettings,
    "logging": LoggingSettings,
}


PEERS: Mapping[str, type] = {"p2p": PeerConfig, "federation": ForeignPeerConfig}
"""Sections with a list of `[[<section>.peers]]` tables, and what each of these says."""


def knobs_of(settings: type) -> dict[str, Knob]:
    """The settings of one section, by key, in order."""
    return {f.name: f.metadata[KNOB] for f in fields(settings) if KNOB in f.metadata}


# --- reading ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration and, for each key that is not a default, where it came from."""

    config: NodeConfig
    origins: Mapping[str, str]


def load_config(home: Home, environ: Mapping[str, str]) -> LoadedConfig:
    """Read a home's config.toml and the environment. Raises ConfigError with every problem found."""
    try:
        text = home.config_file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            (f"{home.path} is not a node's home: config/config.toml is missing; `isthmus init` makes one",)
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError((f"{home.config_file} cannot be read: {error}",)) from error
    return parse_config(text, home, environ)


def parse_config(text: str, home: Home, environ: Mapping[str, str]) -> LoadedConfig:
    """The configuration in a TOML text with the environment on top. Raises ConfigError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError((f"{home.config_file} is not valid TOML: {error}",)) from error
    reading = _Reading(home.config_file.name)
    reading.environment(environ)
    top = reading.table(document, NodeConfig, "", (*knobs_of(NodeConfig), *SECTIONS))
    sections: dict[str, Any] = {}
    for section, settings in SECTIONS.items():
        table = document.get(section, {})
        if not isinstance(table, dict):
            reading.problems.append(f"{section}: is a table; write [{section}] on a line of its own")
            continue
        kind = PEERS.get(section)
        extra = () if kind is None else ("peers",)
        values = reading.table(table, settings, f"{section}.", (*knobs_of(settings), *extra))
        if kind is not None:
            values["peers"] = reading.peers(section, kind, table.get("peers", []))
        sections[section] = settings(**values)
    reading.finish()
    config = NodeConfig(home=home, **top, **sections)
    _check_together(config)
    return LoadedConfig(config, reading.origins)


class _Reading:
    """One pass over a document: collects problems and origins instead of stopping at the first."""

    def __init__(self, file_name: str) -> None:
        self._file_name = file_name
        self._overrides: dict[str, tuple[str, str]] = {}
        self.problems: list[str] = []
        self.origins: dict[str, str] = {}

    def environment(self, environ: Mapping[str, str]) -> None:
        """Note the variables that name a setting; refuse those that look like one and are none."""
        known = [f"{section}.{key}" for section, settings in SECTIONS.items() for key in knobs_of(settings)]
        known += knobs_of(NodeConfig)
        for variable in sorted(environ):
            match = _ENVIRONMENT.fullmatch(variable)
            if match is None:
                continue
            section, key = (match.group(1) or "").lower(), match.group(2).lower()
            path = f"{section}.{key}" if section else key
            if path in known:
                self._overrides[path] = (variable, environ[variable])
            elif key == "peers" and section in PEERS:
                self.problems.append(f"{variable}: peers cannot come from the environment; use [[{path}]]")
            else:
                self.problems.append(f"{variable}: there is no setting {path!r}{_suggestion(path, known)}")

    def table(
        self, table: Mapping[str, object], settings: type, prefix: str, known: tuple[str, ...]
    ) -> dict[str, Any]:
        """The checked values of one table, overridden by the environment."""
        for key in table:
            if key not in known:
                self.problems.append(
                    f"{self._file_name}: unknown key {prefix + key!r}{_suggestion(key, known)}"
                )
        values: dict[str, Any] = {}
        for key, knob in knobs_of(settings).items():
            path = prefix + key
            if path in self._overrides:
                variable, text = self._overrides[path]
                self._take(values, key, knob, knob.from_text(text), path, variable)
            elif key in table:
                self._take(values, key, knob, table[key], path, self._file_name)
        return values

    def peers(self, section: str, kind: type, value: object) -> tuple[Any, ...]:
        """The `[[<section>.peers]]` tables, each as a `kind`; all of its keys are required."""
        path = f"{section}.peers"
        if not isinstance(value, list) or len(value) > PEERS_MAX:
            self.problems.append(
                f"{self._file_name}: {path} is a list of at most {PEERS_MAX} [[{path}]] tables"
            )
            return ()
        if value:
            self.origins[path] = self._file_name
        found = []
        required = tuple(knobs_of(kind))
        for position, item in enumerate(value):
            prefix = f"{path}[{position}]."
            if not isinstance(item, dict):
                self.problems.append(f"{self._file_name}: {prefix[:-1]} is a [[{path}]] table")
                continue
            missing = [key for key in required if key not in item]
            if missing:
                self.problems.append(f"{self._file_name}: {prefix[:-1]} lacks {', '.join(missing)}")
            found.append(kind(**self.table(item, kind, prefix, required)))
        return tuple(found)

    def _take(
        self, values: dict[str, Any], key: str, knob: Knob, value: object, path: str, origin: str
    ) -> None:
        try:
            values[key] = knob.check(value)
            self.origins[path] = origin
        except ValueError as error:
            self.problems.append(f"{origin}: {path} {error}")

    def finish(self) -> None:
        """Raises ConfigError if anything was wrong."""
        if self.problems:
            raise ConfigError(tuple(self.problems))


def _suggestion(key: str, known: tuple[str, ...] | list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"


def _check_together(config: NodeConfig) -> None:
    """What single values cannot show. Raises ConfigError."""
    problems = []
    if 0 < config.storage.recording_bytes_max < RECORDING_BYTES_MIN:
        problems.append(
            f"storage.recording_bytes_max is 0 or at least {RECORDING_BYTES_MIN}, "
            f"not {config.storage.recording_bytes_max}"
        )
    if 0 < config.storage.keep_blocks < KEEP_BLOCKS_MIN:
        problems.append(
            f"storage.keep_blocks is 0 or at least {KEEP_BLOCKS_MIN}, not {config.storage.keep_blocks}"
        )
    if config.p2p.port == config.api.port and config.p2p.host == config.api.host:
        problems.append(f"p2p.port and api.port are both {config.api.port}; give them different ports")
    for what in ("name", "node_key"):
        values = [getattr(peer, what) for peer in config.p2p.peers]
        twice = sorted({value for value in values if values.count(value) > 1})
        for value in twice:
            shown = value if isinstance(value, str) else value.hex()
            problems.append(f"p2p.peers lists {what} {shown} more than once; remove one of them")
    if problems:
        raise ConfigError(tuple(problems))
