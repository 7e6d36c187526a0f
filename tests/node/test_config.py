"""A configuration is either understood completely or refused with sentences that say what to write."""

from dataclasses import fields
from pathlib import Path

import pytest

from node import config as config_module
from node.config import (
    SECTIONS,
    ApiSettings,
    ConfigError,
    LoadedConfig,
    NodeConfig,
    knobs_of,
    load_config,
    parse_config,
)
from node.home import Home

HOME = Home(Path("/nowhere"))
KEY = "ab" * 32


def parsed(text: str, **environ: str) -> LoadedConfig:
    return parse_config(text, HOME, environ)


def problems(text: str, **environ: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parsed(text, **environ)
    return caught.value.problems


def peer(name: str = "b", key: str = KEY, port: int = 27610) -> str:
    return f'[[p2p.peers]]\nname = "{name}"\nnode_key = "{key}"\nhost = "b.example"\nport = {port}\n'


def test_an_empty_file_gives_the_defaults() -> None:
    loaded = parsed("")
    assert loaded.config == NodeConfig(HOME)
    assert loaded.origins == {}


def test_overrides_are_taken_and_their_origin_is_remembered() -> None:
    loaded = parsed('name = "a"\nrole = "observer"\n[api]\nport = 8080\n' + peer())
    assert (loaded.config.name, loaded.config.role, loaded.config.api.port) == ("a", "observer", 8080)
    assert loaded.config.p2p.peers[0].node_key == bytes.fromhex(KEY)
    assert loaded.origins == {
        "name": "config.toml",
        "role": "config.toml",
        "api.port": "config.toml",
        "p2p.peers": "config.toml",
        "p2p.peers[0].name": "config.toml",
        "p2p.peers[0].node_key": "config.toml",
        "p2p.peers[0].host": "config.toml",
        "p2p.peers[0].port": "config.toml",
    }


def test_nodes_of_other_clusters_are_listed_like_peers() -> None:
    text = (
        f'[[federation.peers]]\ncluster = "{"ab" * 32}"\nnode_key = "{KEY}"\nhost = "c.example"\nport = 9\n'
    )
    (found,) = parsed(text).config.federation.peers
    assert (found.cluster, found.node_key) == (b"\xab" * 32, bytes.fromhex(KEY))
    assert (found.host, found.port) == ("c.example", 9)
    assert problems("[[federation.peers]]\nport = 9\n") == (
        "config.toml: federation.peers[0] lacks cluster, node_key, host",
    )
    assert problems("", ISTHMUS_FEDERATION__PEERS="x") == (
        "ISTHMUS_FEDERATION__PEERS: peers cannot come from the environment; use [[federation.peers]]",
    )


def test_the_environment_wins_over_the_file() -> None:
    loaded = parsed(
        "[api]\nport = 8080\n",
        ISTHMUS_API__PORT="9_000",
        ISTHMUS__NAME="env-name",
        ISTHMUS_STORAGE__FSYNC="false",
        ISTHMUS_P2P__ALLOWED=f"{KEY}, {'cd' * 32}",
        ISTHMUS_HOME="/ignored",
        ISTHMUS_FAILPOINT="ignored",
    )
    config = loaded.config
    assert (config.api.port, config.name, config.storage.fsync) == (9000, "env-name", False)
    assert config.p2p.allowed == (bytes.fromhex(KEY), bytes.fromhex("cd" * 32))
    assert loaded.origins["api.port"] == "ISTHMUS_API__PORT"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[api]\nprot = 1\n", "config.toml: unknown key 'api.prot'; did you mean 'port'?"),
        ("[pai]\nport = 1\n", "config.toml: unknown key 'pai'; did you mean 'api'?"),
        ("rolle = 1\n", "config.toml: unknown key 'rolle'; did you mean 'role'?"),
        ("[logging]\nzzz = 1\n", "config.toml: unknown key 'logging.zzz'; known are format, level"),
        ("[api]\nport = 70000\n", "config.toml: api.port must be from 1 to 65535, not 70000"),
        ("[api]\nport = true\n", "config.toml: api.port is a whole number from 1 to 65535, not True"),
        ("[api]\nport = '80'\n", "config.toml: api.port is a whole number from 1 to 65535, not '80'"),
        (
            "[limits]\ncommit_target_ms = 60001\n",
            "config.toml: limits.commit_target_ms must be from 0 to 60000, not 60001",
        ),
        ("[storage]\nfsync = 1\n", "config.toml: storage.fsync is true or false, not 1"),
        ("role = 'king'\n", "config.toml: role is one of validator, joining, observer, not 'king'"),
        ("api = 3\n", "api: is a table; write [api] on a line of its own"),
        ("name = ''\n", "config.toml: name is 1 to 64 characters of a-z, 0-9, '.', '_', '-', not ''"),
        (
            "[p2p]\nhost = 'https://a'\n",
            "config.toml: p2p.host is an address or DNS name without scheme and port, not 'https://a'",
        ),
        (
            "[p2p]\nallowed = ['12']\n",
            "config.toml: p2p.allowed is a node key of 64 hexadecimal digits (isthmus show-node-id), "
            "not '12'",
        ),
        (
            "[[p2p.peers]]\nname = 'b'\n",
            "config.toml: p2p.peers[0] lacks node_key, host, port",
        ),
        (
            peer() + "prot = 1\n",
            "config.toml: unknown key 'p2p.peers[0].prot'; did you mean 'port'?",
        ),
        (peer(port=0), "config.toml: p2p.peers[0].port must be from 1 to 65535, not 0"),
        (peer() + peer(key="cd" * 32), "p2p.peers lists name b more than once; remove one of them"),
        (peer() + peer("c"), f"p2p.peers lists node_key {KEY} more than once; remove one of them"),
        ("[api]\nport = 27600\n", "p2p.port and api.port are both 27600; give them different ports"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(text: str, sentence: str) -> None:
    assert problems(text) == (sentence,)


def test_all_mistakes_are_told_at_once() -> None:
    assert len(problems("[api]\nport = 0\nhots = 'x'\n[logging]\nlevel = 'loud'\n")) == 3


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        (
            "ISTHMUS_API__PROT",
            "1",
            "ISTHMUS_API__PROT: there is no setting 'api.prot'; did you mean 'api.port'?",
        ),
        (
            "ISTHMUS_API__PORT",
            "x",
            "ISTHMUS_API__PORT: api.port is a whole number from 1 to 65535, not 'x'",
        ),
        (
            "ISTHMUS_P2P__PEERS",
            "x",
            "ISTHMUS_P2P__PEERS: peers cannot come from the environment; use [[p2p.peers]]",
        ),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(variable: str, value: str, sentence: str) -> None:
    assert problems("", **{variable: value}) == (sentence,)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:27601"),
        ("0.0.0.0", "http://127.0.0.1:27601"),
        ("::", "http://[::1]:27601"),
        ("fd00::7", "http://[fd00::7]:27601"),
        ("fe80::1%eth0", "http://[fe80::1%eth0]:27601"),
        ("::ffff:10.0.0.5", "http://10.0.0.5:27601"),
        ("::ffff:0.0.0.0", "http://127.0.0.1:27601"),
        ("node.example", "http://node.example:27601"),
    ],
)
def test_who_listens_on_every_address_is_asked_on_loopback(host: str, url: str) -> None:
    assert ApiSettings(host=host).url == url


@pytest.mark.parametrize(
    ("host", "names"),
    [
        ("127.0.0.1", ("127.0.0.1",)),
        ("0.0.0.0", ()),
        ("::", ("[::1]",)),
        ("fd00::07", ("[fd00::7]",)),
        ("10.0.0.5", ("10.0.0.5",)),
        ("::ffff:10.0.0.5", ("10.0.0.5",)),
        ("::ffff:0.0.0.0", ()),
    ],
)
def test_a_node_answers_under_the_address_it_listens_on(host: str, names: tuple[str, ...]) -> None:
    assert ApiSettings(host=host).own_names == names


def test_broken_toml_and_a_missing_home_are_sentences(tmp_path: Path) -> None:
    assert "config.toml is not valid TOML" in problems("[api\n")[0]
    with pytest.raises(ConfigError, match=r"is not a node's home.*isthmus init"):
        load_config(Home(tmp_path), {})


def test_a_file_that_is_not_text_is_a_sentence(tmp_path: Path) -> None:
    home = Home(tmp_path / "h")
    home.create()
    home.config_file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(home, {})


def test_there_are_at_most_26_settings_and_each_says_what_it_is_for() -> None:
    everything = [
        knob for settings in (NodeConfig, *SECTIONS.values()) for knob in knobs_of(settings).values()
    ]
    assert len(everything) <= 26  # beside the lists of peers
    assert all(knob.purpose for knob in everything)


def test_every_default_passes_its_own_check() -> None:
    for settings in (NodeConfig, *SECTIONS.values()):
        for field in fields(settings):
            knob = field.metadata.get("knob")
            if knob is not None and field.default not in (None, ()):
                assert knob.check(field.default) == field.default


def test_every_setting_is_read_by_something() -> None:
    """A setting that changes nothing would be a lie."""
    package = Path(config_module.__file__).parent
    code = "".join(
        path.read_text() for path in package.rglob("*.py") if path.name not in ("config.py", "knobs.py")
    )
    paths = [f"{s}.{key}" for s, settings in SECTIONS.items() for key in (*knobs_of(settings),)]
    unread = [
        path
        for path in ("name", "role", "p2p.peers", "federation.peers", *paths)
        if f"config.{path}" not in code
    ]
    assert unread == []
