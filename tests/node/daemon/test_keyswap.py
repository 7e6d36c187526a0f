"""A home whose keys were rotated starts by the newest epoch it has stored, or says why it cannot."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from consensus import Digest, Epoch, HeaderCertificate, Height, PublicKey
from node.config import NodeConfig
from node.daemon.keyswap import KeyKind, draft_key, key_file, public_of, roster_of_home, swap
from node.daemon.startup import StartupError, open_home
from node.doctor.belongings import look_at_home
from node.doctor.finding import Grade
from node.genesis import Genesis
from node.home import SEED_BYTES
from node.validator.epochs import EpochLink
from tests.node.daemon.running import config_of, written


@pytest.fixture
def config(tmp_path: Path) -> NodeConfig:
    return config_of(written(tmp_path / "net", 2))


def rotate(config: NodeConfig, kind: KeyKind) -> None:
    """As governance and `isthmus key rotate` leave a home: epoch 1 lists the new key, which is in place."""
    home = config.home
    genesis = Genesis.from_json(home.genesis_file.read_text())
    new = PublicKey(public_of(kind, draft_key(key_file(home, kind), os.urandom(SEED_BYTES))))
    changed = {"node_key": new} if kind is KeyKind.NODE else {"consensus_key": new}
    before = genesis.roster()
    records = (replace(before.validators[0], **changed), *before.validators[1:])
    header = genesis.genesis_header()
    bare = HeaderCertificate(0, Epoch(0), Height(0), header.block_id, Digest(header.hash), b"\x00", b"")
    link = EpochLink(header, bare, replace(before, epoch=Epoch(1), validators=records))
    opened = open_home(config)
    opened.store.apply([link.write()], [])
    opened.close()
    swap(home, kind, 1)


@pytest.mark.parametrize("kind", list(KeyKind))
def test_a_home_with_rotated_keys_starts_as_the_validator_it_is(config: NodeConfig, kind: KeyKind) -> None:
    assert roster_of_home(config.home) is None
    rotate(config, kind)
    roster = roster_of_home(config.home)
    assert roster is not None
    assert roster.epoch == 1
    open_home(config).close()
    _, findings = look_at_home(config.home, {})
    assert [f.words for f in findings if f.grade is Grade.FAULT] == []
    assert any("keys that were rotated" in f.words for f in findings)


@pytest.mark.parametrize(
    ("kind", "code"), [(KeyKind.NODE, "node-key-differs"), (KeyKind.CONSENSUS, "not-a-validator")]
)
def test_without_its_data_the_genesis_alone_does_not_know_it(
    config: NodeConfig, kind: KeyKind, code: str
) -> None:
    rotate(config, kind)
    shutil.rmtree(config.home.data_dir)
    with pytest.raises(StartupError) as refused:
        open_home(config)
    assert refused.value.code == code
    assert 'role = "joining"' in str(refused.value)
    open_home(replace(config, role="joining")).close()


def test_other_keys_than_the_rotated_ones_are_still_refused(config: NodeConfig) -> None:
    rotate(config, KeyKind.NODE)
    config.home.node_key_file.unlink()
    shutil.copy(config.home.validator_key_file, config.home.node_key_file)
    with pytest.raises(StartupError):
        open_home(config)
