"""Which phase of a transaction's life a sample belongs to: rules by file, as data.

The innermost frame that any rule knows decides: a signature checked for a vote is cryptography, the tally
that asked for it agreement. A frame that no rule knows, or that is transparent, is its caller's.
"""

from fnmatch import fnmatchcase
from functools import lru_cache

from bench.profiling.stacks import Frame

OTHER = "other"

RULES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("crypto", ("consensus/keys.py", "nacl/*", "cryptography/*", "hashlib.py")),
    (
        "codec",
        (
            "consensus/codec.py",
            "consensus/messages.py",
            "node/pool/messages.py",
            "node/pool/payload.py",
            "node/wire.py",
            "msgpack/*",
        ),
    ),
    (
        "storage",
        (
            "node/storage.py",
            "node/daemon/durability.py",
            "node/daemon/guardfile.py",
            "node/daemon/journal.py",
            "node/daemon/segment.py",
            "node/daemon/snapshots.py",
            "node/daemon/store.py",
            "node/validator/durable.py",
            "node/validator/layout.py",
            "node/validator/records.py",
            "node/validator/storing.py",
            "lmdb/*",
        ),
    ),
    (
        "ledger",
        ("node/ledger/*", "node/proofs/*", "node/anchoring/*", "node/validator/line.py"),
    ),
    (
        "data plane",
        (
            "node/pool/*",
            "node/daemon/verifying.py",
            "node/daemon/workers.py",
            "node/validator/dataplane.py",
            "trio_parallel/*",
            "multiprocessing/*",
        ),
    ),
    ("agreement", ("consensus/*",)),
    ("transport/TLS", ("p2p/*", "ssl.py", "node/daemon/links.py", "node/daemon/postbox.py")),
    (
        "HTTP",
        ("node/api/*", "node/daemon/waiters.py", "starlette/*", "h11/*"),
    ),
    ("composition", ("node/validator/*", "node/daemon/*")),
    ("logs, metrics", ("structlog/*", "prometheus_client/*", "logging/*")),
    ("scheduler", ("trio/*", "outcome/*", "sniffio/*")),
)
"""(phase, patterns of files); the first that fits a file names it."""
TRANSPARENT = ("trio/_socket.py", "trio/_highlevel_socket.py", "trio/_channel.py", "trio/_sync.py")
"""Tools that serve several phases: their caller decides."""
WAITING = (
    Frame("sync_data", "node/daemon/durability.py"),
    Frame("EpollIOManager.get_events", "trio/_core/_io_epoll.py"),
    Frame("WorkerThread._work", "trio/_core/_thread_cache.py"),
)
"""Innermost functions in which a thread waits, although a sampler takes many of these moments for work
(measured: twelve times the CPU of a thread that does nothing but sync). They count as no CPU."""
NOT_SAMPLED = "not sampled"
"""CPU of threads in which no sample was taken: they ended, or hardly ran."""
PHASES = (*(phase for phase, _ in RULES), OTHER, NOT_SAMPLED)


@lru_cache(maxsize=4096)
def phase_of_file(file: str) -> str | None:
    """The phase of a file (as an import sees it); None when its caller decides."""
    if any(fnmatchcase(file, pattern) for pattern in TRANSPARENT):
        return None
    for phase, patterns in RULES:
        if any(fnmatchcase(file, pattern) for pattern in patterns):
            return phase
    return None


def phase_of(frames: tuple[Frame, ...]) -> str:
    """The phase of a stack, outermost frame first."""
    for frame in reversed(frames):
        phase = phase_of_file(frame.file)
        if phase is not None:
            return phase
    return OTHER
