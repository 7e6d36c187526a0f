"""One process per key on one machine, whichever copy of the home it comes from."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from node.daemon.keyclaim import KeyClaim
from node.daemon.keylock import KeyInUse
from node.daemon.startup import open_home
from node.home import Home
from tests.node.daemon.running import config_of, written

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
KEY = b"\x17" * 32


def test_a_key_is_claimed_once_and_given_back() -> None:
    claim = KeyClaim.take(KEY)
    with pytest.raises(KeyInUse, match="already used by another process on this machine"):
        KeyClaim.take(KEY)
    claim.release()
    claim.release()
    KeyClaim.take(KEY).release()


def test_a_copied_home_does_not_start_beside_the_original(tmp_path: Path) -> None:
    config = config_of(written(tmp_path / "net", 2))
    copy = tmp_path / "copy"
    shutil.copytree(config.home.path, copy)
    original = open_home(config)
    with pytest.raises(KeyInUse, match="from a copy of this home"):
        open_home(replace(config, home=Home(copy)))
    original.close()
    open_home(replace(config, home=Home(copy))).close()
