"""Two programs in namespaces of their own that send each other a lot while packets are lost; a program.

A process of its own, because what opens namespaces is in one of them, threads and all. Prints one object.
"""

import json
import os
import socket
import subprocess
import sys
from typing import Any

import trio

from bench.namespaces import Namespaces, open_namespaces
from bench.packetloss import PacketLoss

BYTES = 2_000_000
SEGMENT_MAX = 1_448
"""Of an Ethernet frame with the TCP time stamps that Linux sends."""
_SERVER = """
import socket, sys
with socket.create_server((sys.argv[1], int(sys.argv[2]))) as listening:
    print("listening", flush=True)
    while True:
        caller, _ = listening.accept()
        with caller:
            while caller.recv(65536):
                pass
            caller.sendall(b"done")
"""
_CLIENT = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as called:
    called.sendall(bytes(int(sys.argv[3])))
    called.shutdown(socket.SHUT_WR)
    assert called.recv(4) == b"done"
"""


def serve(namespaces: Namespaces, host: str, port: int) -> "subprocess.Popen[str]":
    """A server in node 1's namespace that hears everything and says that it did."""
    command = (*namespaces.through(1), sys.executable, "-c", _SERVER, host, str(port))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "listening\n"
    return process


def send(namespaces: Namespaces, node: int, port: int) -> None:
    """From a node's namespace to node 1's server."""
    command = (sys.executable, "-c", _CLIENT, namespaces.host(1), str(port), str(BYTES))
    namespaces.run(node, command)


def call(port: int) -> str:
    """From here to an API port on loopback, as the load generator does; what came back."""
    with socket.create_connection(("127.0.0.1", port)) as called:
        called.sendall(bytes(BYTES))
        called.shutdown(socket.SHUT_WR)
        return called.recv(4).decode()


async def while_packets_are_lost(namespaces: Namespaces, loss: PacketLoss) -> str:
    """Send from both others, and call, while the link from node 0 is lossy; what the call brought."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(loss.last)
        rules = ""
        while "loss" not in rules:
            rules = await trio.to_thread.run_sync(namespaces.run, 1, ("nft", "list", "tables"))
        for node in (0, 2):
            await trio.to_thread.run_sync(send, namespaces, node, namespaces.ports[1].p2p)
        answer = await trio.to_thread.run_sync(call, namespaces.ports[1].api)
        nursery.cancel_scope.cancel()
    return answer


def main() -> None:
    """Print what was seen."""
    home = os.readlink("/proc/thread-self/ns/net")
    with open_namespaces(3) as namespaces:
        loss = PacketLoss(namespaces, 0, 1)
        loss.check()
        ports = namespaces.ports[1]
        servers = [
            serve(namespaces, namespaces.host(1), ports.p2p),
            serve(namespaces, "127.0.0.1", ports.api),
        ]
        send(namespaces, 0, ports.p2p)
        calm = loss.lost
        answer = trio.run(while_packets_are_lost, namespaces, loss)
        after = [namespaces.run(node, ("nft", "list", "tables")) for node in range(3)]
        for server in servers:
            server.kill()
            server.wait()
            assert server.stdout is not None
            server.stdout.close()
    assert loss.lost is not None
    seen: dict[str, Any] = {
        "calm": calm,
        "lost": loss.lost.lost,
        "sent": loss.lost.sent,
        "answer": answer,
        "after": after,
        "is_home": home == os.readlink("/proc/thread-self/ns/net"),
    }
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
