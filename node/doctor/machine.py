"""The machine: clock, disk, ports, limits, and whether Python finds this software and not another."""

import ctypes
import errno
import importlib.metadata
import importlib.util
import os
import resource
import shutil
import socket
import sys
import sysconfig
import time
from pathlib import Path
from statistics import median

from node.config import NodeConfig
from node.doctor.finding import Finding, fault, good, is_full, skipped, warning
from node.knobs import address_of

PACKAGES = ("consensus", "p2p", "node", "bench")
DISTRIBUTION = "isthmus"
DISK_FAULT_BYTES = 256 * 1024 * 1024
"""Below this a node refuses transactions (C17)."""
DISK_WARNING_BYTES = 5 * 1024 * 1024 * 1024
SYNC_WARNING_MS = 20.0
"""A round takes two synced writes; slower disks than this hold every round back noticeably."""
_SYNCS = 9
_OPTIMISED = "--enable-optimizations"
_SYSTEM_PREFIX = "/usr"
_FILES_BESIDES_CONNECTIONS = 512
_TIME_ERROR = 5
"""adjtimex(2): the clock is not synchronised."""
_TIMEX_BYTES = 1024
"""More than any layout of `struct timex`; all zero asks and changes nothing."""


def look_at_machine(config: NodeConfig, *, is_running: bool) -> list[Finding]:
    """Everything that needs no other machine. `is_running`: the ports are then the node's own."""
    return [
        python_packages(),
        interpreter(sys.base_prefix, str(sysconfig.get_config_var("CONFIG_ARGS"))),
        clock(),
        *disk(config.home.path),
        map_size(config),
        open_files(config),
        *ports(config, is_running=is_running),
        *reach(config),
    ]


def python_packages() -> Finding:
    """Our packages have common names: another distribution with one of them would shadow ours."""
    owners = importlib.metadata.packages_distributions()
    strangers = {
        package: sorted(set(owners.get(package, ())) - {DISTRIBUTION})
        for package in PACKAGES
        if set(owners.get(package, ())) - {DISTRIBUTION}
    }
    if strangers:
        package, names = next(iter(strangers.items()))
        return fault(
            "packages",
            f"the package {package!r} is also brought by {', '.join(names)}",
            f"remove it (pip uninstall {names[0]}), or install isthmus into an environment of its own",
        )
    places = set()
    for package in PACKAGES:
        found = importlib.util.find_spec(package)
        if found is not None and found.origin is not None:
            places.add(Path(found.origin).parent.parent)
    if len(places) != 1:
        return fault(
            "packages",
            f"this software is imported from {len(places)} places: {', '.join(sorted(map(str, places)))}",
            "start it from another folder, and look at PYTHONPATH",
        )
    return good("packages", f"imported from {places.pop()}")


def interpreter(base_prefix: str, build_options: str) -> Finding:
    """How this Python was built, from its place and the options of its build. Half of a node's time is the
    interpreter's own; distributions optimise theirs, what was compiled by hand says whether it is."""
    shown = f"Python {sys.version.split()[0]} of {base_prefix}"
    if base_prefix == _SYSTEM_PREFIX or _OPTIMISED in build_options:
        return good("interpreter", f"{shown}, built with optimisations")
    return warning(
        "interpreter",
        f"{shown} was built without optimisations: the same lines take about a quarter longer",
        f"use the distribution's Python, or build this one with {_OPTIMISED}",
    )


def clock() -> Finding:
    """Whether the kernel believes that its clock follows a source. Proposers' timestamps must not be ahead
    of the others' clocks by more than the genesis parameter precision_ms (C8)."""
    if sys.platform != "linux":
        return skipped("clock", "only Linux tells whether its clock is synchronised")
    libc = ctypes.CDLL(None, use_errno=True)
    state = libc.adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    if state < 0:
        return skipped("clock", f"the kernel does not tell: {os.strerror(ctypes.get_errno())}")
    if state == _TIME_ERROR:
        return warning(
            "clock",
            "the clock is not synchronised: blocks of this node may come too early for the others",
            "run chrony or systemd-timesyncd",
        )
    return good("clock", "the clock is synchronised")


def disk(folder: Path) -> list[Finding]:
    """Free space, and how long one synced write takes: every vote waits for one."""
    free = shutil.disk_usage(folder).free
    shown = f"{free / 2**30:.1f} GiB are free at {folder}"
    if free < DISK_FAULT_BYTES:
        found = fault("disk-space", shown, "below 0.25 GiB a node refuses transactions; make room")
    elif free < DISK_WARNING_BYTES:
        found = warning("disk-space", shown, "make room before it is needed; the chain only grows")
    else:
        found = good("disk-space", shown)
    try:
        took_ms = synced_write_ms(folder)
    except OSError as error:
        remedy = "make room" if is_full(error) else "check its owner"
        return [found, fault("disk-sync", f"{folder} cannot be written: {error.strerror}", remedy)]
    words = f"one synced write takes {took_ms:.2f} ms"
    if took_ms > SYNC_WARNING_MS:
        return [found, warning("disk-sync", words, "use a local SSD; every round waits for two of them")]
    return [found, good("disk-sync", words)]


def synced_write_ms(folder: Path) -> float:
    """The median of a few: 4 KiB written and fdatasync'ed in a file of its own, which is removed."""
    path = folder / f".doctor-{os.getpid()}"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    sync = getattr(os, "fdatasync", os.fsync)
    took = []
    try:
        for _ in range(_SYNCS):
            begin = time.perf_counter()
            os.pwrite(descriptor, bytes(4096), 0)
            sync(descriptor)
            took.append(1000 * (time.perf_counter() - begin))
    finally:
        os.close(descriptor)
        path.unlink()
    return median(took)


def map_size(config: NodeConfig) -> Finding:
    """The database's map is address space: a limit on that (ulimit -v) makes opening it fail."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    wanted = 2 * config.storage.map_bytes
    if limit != resource.RLIM_INFINITY and limit < wanted:
        return fault(
            "map-size",
            f"two maps of {config.storage.map_bytes / 2**30:.0f} GiB exceed the limit of address space, "
            f"{limit / 2**30:.0f} GiB",
            "ulimit -v unlimited, or a smaller storage.map_bytes",
        )
    return good("map-size", f"{config.storage.map_bytes / 2**30:.0f} GiB of address space a database")


def open_files(config: NodeConfig) -> Finding:
    """Every connection is a file."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = config.limits.connections + _FILES_BESIDES_CONNECTIONS
    if limit < wanted:
        return warning(
            "open-files",
            f"at most {limit} files may be open, {wanted} may be needed",
            f"ulimit -n {wanted}, or LimitNOFILE in the unit",
        )
    return good("open-files", f"{limit} files may be open, {wanted} may be needed")


def ports(config: NodeConfig, *, is_running: bool) -> list[Finding]:
    """Whether the two ports can be listened on."""
    return [
        _port("p2p-port", config.p2p.host, config.p2p.port, is_running=is_running),
        _port("api-port", config.api.host, config.api.port, is_running=is_running),
    ]


def reach(config: NodeConfig) -> list[Finding]:
    """Whether other machines can come to what this node listens on; nothing where it is in order."""
    found = []
    if _is_loopback(config.p2p.host) and any(not _is_loopback(peer.host) for peer in config.p2p.peers):
        found.append(
            warning(
                "p2p-host",
                f"it listens for nodes on {config.p2p.host} alone, where no other machine reaches it",
                'set p2p.host, to "0.0.0.0" for every address; else each link has to be dialled from here',
            )
        )
    address = address_of(config.api.host)
    if address is not None and address.is_unspecified and not config.api.allowed_hosts:
        found.append(
            warning(
                "api-names",
                "the API listens on every address and answers to loopback's names alone: whoever asks by "
                "another is refused (host-not-allowed)",
                "set api.allowed_hosts to what clients, probes and Prometheus ask for",
            )
        )
    return found


def _is_loopback(host: str) -> bool:
    address = address_of(host)
    return host == "localhost" if address is None else address.is_loopback


def _port(check: str, host: str, port: int, *, is_running: bool) -> Finding:
    if is_running:
        return skipped(check, f"the running node listens on {host}:{port}")
    key = check.replace("-", ".")
    try:
        families = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in families:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return fault(
                check, f"something listens on {host}:{port} already", f"stop it, or set another {key}"
            )
        return fault(check, f"{host}:{port} cannot be listened on: {error.strerror or error}", f"set {key}")
    return good(check, f"{host}:{port} is free")
