"""Network namespaces of a measurement: one for each node, one for all else of it, wired by a bridge.

For packets that can really be lost between daemons of one machine, which no link of the loopback interface
does. They have no names: a namespace lives as long as a process in it or a descriptor of ours, so the kernel
takes all of it back however we end, SIGKILL included, and there is nothing stale to look for.

    the measurement (its load processes are born there)      node 0        node 1 ...
      lo  127.0.0.1:API port of node i                         lo, its API   lo, its API
      hub 10.201.0.254/24 ---- bridge ----------------------- wire .1 ----- wire .2 ...

Each API listens on loopback as ever, and is found on loopback: addresses are translated on the way, or a node
would hold the load generator to what it allows to one stranger. Nodes talk to each other untranslated.
Linux, root, iproute2, nftables and util-linux are needed.
"""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from node.local.ports import BELOW_CONNECTIONS, NodePorts, fixed_ports
from node.local.testnet import NODES_MAX

TOOLS = ("ip", "nft", "nsenter", "sh")
LOOPBACK = "127.0.0.1"
_NETWORK = "10.201.0"
_HUB_ADDRESS = f"{_NETWORK}.254"
_OWN = "/proc/thread-self/ns/net"
_CLONE_NEWNET = 0x4000_0000  # sched.h
_COMMAND_SECONDS = 10
_LIBC = ctypes.CDLL(None, use_errno=True)
_ROUTE_LOOPBACK = "echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet"
"""So that a packet to a loopback address may become one to elsewhere, and the other way."""


class NamespaceError(Exception):
    """This system does not let us, or a tool refused: a sentence with its words."""


class Namespaces:
    """The open namespaces by the numbers of their nodes. Made by `open_namespaces`."""

    def __init__(self, nodes: tuple[int, ...], hub: int) -> None:
        """`nodes` and `hub` are descriptors, which the maker closes."""
        self._nodes = nodes
        self._hub = hub
        self.ports = fixed_ports(len(nodes), BELOW_CONNECTIONS[0])
        """Where the nodes must listen: nobody else is here who could have taken them."""

    def host(self, node: int) -> str:
        """The address at which other nodes find one."""
        return f"{_NETWORK}.{node + 1}"

    def through(self, node: int) -> tuple[str, ...]:
        """What to put before a command so that it runs there, under the pid that it would have."""
        return _enter_by(self._nodes[node])

    def run(self, node: int, command: tuple[str, ...], said: str = "") -> str:
        """Carry out a short command there; its output. Raises NamespaceError."""
        return _run(self._nodes[node], command, said)

    def wire(self) -> None:
        """Join them. Raises NamespaceError."""
        _run(self._hub, ("ip", "-batch", "-"), _hub_links(self._nodes))
        _run(self._hub, ("sh", "-ec", _ROUTE_LOOPBACK))
        _run(self._hub, ("nft", "-f", "-"), _hub_translation(self))
        for number, ports in enumerate(self.ports):
            links = (
                f"link set lo up\nlink set wire gso_max_segs 1 up\naddr add {self.host(number)}/24 dev wire\n"
            )
            self.run(number, ("ip", "-batch", "-"), links)
            self.run(number, ("sh", "-ec", _ROUTE_LOOPBACK))
            self.run(number, ("nft", "-f", "-"), _node_translation(ports))


@contextmanager
def open_namespaces(nodes: int) -> Iterator[Namespaces]:
    """New namespaces, wired; until the end this thread is in the one of the measurement.

    So is what it starts, for good: an event loop whose threads outlive it must begin and end in here, and the
    program soon after. Threads that were there before stay where they were. Raises NamespaceError.
    """
    if not 1 <= nodes <= NODES_MAX:
        raise ValueError(f"there are 1 to {NODES_MAX} nodes, not {nodes}")
    with ExitStack() as stack:
        try:
            home = _descriptor(stack)
            hub = _new(stack)
            stack.callback(_enter, home)  # from here on: who may make none may not enter its own again either
            opened = Namespaces(tuple(_new(stack) for _ in range(nodes)), hub)
            _enter(hub)
        except OSError as error:
            raise NamespaceError(f"no network namespace could be made: {error.strerror}") from error
        opened.wire()
        yield opened


def _new(stack: ExitStack) -> int:
    """Enter a new namespace; its descriptor."""
    _check(_LIBC.unshare(_CLONE_NEWNET))
    return _descriptor(stack)


def _enter(descriptor: int) -> None:
    _check(_LIBC.setns(descriptor, _CLONE_NEWNET))


def _check(answer: int) -> None:
    if answer:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _descriptor(stack: ExitStack) -> int:
    """Of the namespace that this thread is in; closed with the stack."""
    descriptor = os.open(_OWN, os.O_RDONLY)
    stack.callback(os.close, descriptor)
    return descriptor


def _path(descriptor: int) -> str:
    """How another process finds it, while we live."""
    return f"/proc/{os.getpid()}/fd/{descriptor}"


def _enter_by(descriptor: int) -> tuple[str, ...]:
    return ("nsenter", f"--net={_path(descriptor)}", "--")


def _run(descriptor: int, command: tuple[str, ...], said: str = "") -> str:
    try:
        ended = subprocess.run(
            _enter_by(descriptor) + command,
            input=said,
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NamespaceError(f"{command[0]}: {error}") from error
    if ended.returncode:
        lines = ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"]
        raise NamespaceError(f"{command[0]}: {lines[0]}")
    return ended.stdout


def _hub_links(nodes: tuple[int, ...]) -> str:
    """For `ip -batch`. One segment a packet: the kernel would hand over 64 KiB at once, and lose it so."""
    lines = [
        "link set lo up",
        "link add hub type bridge",
        f"addr add {_HUB_ADDRESS}/24 dev hub",
        "link set hub gso_max_segs 1 up",
    ]
    for number, descriptor in enumerate(nodes):
        lines.append(f"link add node{number} type veth peer name wire netns {_path(descriptor)}")
        lines.append(f"link set node{number} gso_max_segs 1 master hub up")
    return "\n".join(lines) + "\n"


def _hub_translation(namespaces: Namespaces) -> str:
    """For `nft -f`: a call to a node's API port on loopback goes to that node."""
    calls = [
        f"  ip daddr {LOOPBACK} tcp dport {ports.api} dnat to {namespaces.host(number)}"
        for number, ports in enumerate(namespaces.ports)
    ]
    return "\n".join(
        (
            "table ip api {",
            " chain call {",
            "  type nat hook output priority -100",
            *calls,
            " }",
            " chain leave {",
            "  type nat hook postrouting priority 100",
            f'  oifname "hub" ip saddr {LOOPBACK} snat to {_HUB_ADDRESS}',
            " }",
            "}\n",
        )
    )


def _node_translation(ports: NodePorts) -> str:
    """For `nft -f`: what comes for the API port becomes a call from loopback to loopback."""
    return "\n".join(
        (
            "table ip api {",
            " chain enter {",
            "  type nat hook prerouting priority -100",
            f'  iifname "wire" ip saddr {_HUB_ADDRESS} tcp dport {ports.api} dnat to {LOOPBACK}',
            " }",
            " chain arrive {",
            "  type nat hook input priority 100",
            f'  iifname "wire" ip daddr {LOOPBACK} snat to {LOOPBACK}',
            " }",
            "}\n",
        )
    )
