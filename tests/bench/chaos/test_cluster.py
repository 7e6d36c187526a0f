"""When a node of the cluster under attack may end by itself."""

from pathlib import Path

import pytest

from bench.chaos.cluster import Machine, switch_file
from bench.chaos.switches import Disk, Switches
from node.home import Home
from node.local.ports import NodePorts
from node.local.testnet import LocalNode


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine whose process was started once."""
    node = LocalNode("node0", Home(tmp_path), NodePorts(1, 2))
    one = Machine(0, node, bytes(32), Switches(switch_file(node)))
    one.begin_life()
    return one


def test_a_full_disk_alone_is_no_reason_to_end(machine: Machine) -> None:
    machine.switches.disk = Disk.FULL
    machine.switches.count_low_answer()
    machine.switches.count_refused_commit()
    assert not machine.must_end


def test_a_refused_write_ends_the_process_that_met_it_and_not_the_next_one(machine: Machine) -> None:
    machine.switches.count_refused_write()
    assert machine.must_end
    machine.begin_life()
    assert (machine.must_end, machine.life) == (False, 2)
