"""Memory that was freed is kept for the next batch, instead of given back to the system and asked for again.

A batch of 256 KiB is copied some ten times on its way through a node, each time into a buffer that lives
for microseconds. glibc returns buffers of that size to the kernel when they are freed, and the kernel clears
every page that is asked for again: decoding one batch took 245 us, of which 220 went there. What is kept
instead is bounded by `KEPT_BYTES` for each of the allocator's heaps.
"""

import ctypes
import sys

KEPT_BYTES = 32 * 1024 * 1024
MAPPED_FROM_BYTES = 16 * 1024 * 1024
"""Larger buffers, of catching up, still come from the system one by one and go back to it."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Of `mallopt` in glibc's malloc.h."""


def keep_freed_memory() -> bool:
    """Set up this process's allocator; False where it has no such settings (macOS, musl)."""
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = ((_M_TRIM_THRESHOLD, KEPT_BYTES), (_M_MMAP_THRESHOLD, MAPPED_FROM_BYTES))
    return all(mallopt(ctypes.c_int(name), ctypes.c_int(value)) for name, value in settings)
