"""The loop's turns on a processor: short ones, and soon.

A node waits some hundred times a second, for a sync of the journal or for a vote, a tenth of a millisecond
each. Where others want the processor, nodes of a test cluster or this node's own threads, the kernel lets
each run for its slice first, 3 to 4 ms at a time, and every such wait costs one or more of those: a sync took
4 ms in the middle, not 0.04. Who asks for a short slice is preferred to who asked for none when it wakes, and
gets no more of the processor altogether (Linux 6.12 and later, sched_setattr(2): a fair task's
`sched_runtime`; no privilege is needed). Threads and processes that are started afterwards have the usual
slices: they compute.
"""

import ctypes
import os
import platform
import struct
import sys

SLICE_NS = 100_000
"""The shortest that the kernel takes; a usual turn of the loop is not much longer."""
_SYSCALLS = {"x86_64": (314, 315), "aarch64": (274, 275)}
"""`sched_setattr` and `sched_getattr`, which older C libraries do not offer."""
_ATTRIBUTES = struct.Struct("=IIQiIQQQ")
"""Size, policy, flags, nice, priority, runtime, deadline, period (sched_setattr(2))."""
_RESET_ON_FORK = 1
_THIS_THREAD = 0


def ask_for_short_turns() -> bool:
    """For the calling thread; False where the system knows no such thing, or somebody has chosen how this
    process is scheduled."""
    numbers = _SYSCALLS.get(platform.machine()) if sys.platform == "linux" else None
    if numbers is None:
        return False
    try:
        nice, policy = os.getpriority(os.PRIO_PROCESS, _THIS_THREAD), os.sched_getscheduler(_THIS_THREAD)
    except OSError:  # a filter of system calls answers for the kernel
        return False
    if policy != os.SCHED_OTHER or nice < 0:
        return False  # a reset on fork would take what was chosen from the threads
    wanted = (_ATTRIBUTES.size, os.SCHED_OTHER, _RESET_ON_FORK, nice, 0, SLICE_NS, 0, 0)
    attributes = ctypes.create_string_buffer(_ATTRIBUTES.pack(*wanted), _ATTRIBUTES.size)
    try:
        syscall = ctypes.CDLL(None).syscall
    except (OSError, AttributeError):
        return False
    is_set = syscall(numbers[0], _THIS_THREAD, attributes, 0) == 0
    return is_set and _slice_ns(syscall, numbers[1]) == SLICE_NS


def _slice_ns(syscall: "ctypes._NamedFuncPointer", number: int) -> int:
    """What this thread has; 0 where fair tasks have none."""
    attributes = ctypes.create_string_buffer(_ATTRIBUTES.size)
    if syscall(number, _THIS_THREAD, attributes, _ATTRIBUTES.size, 0) != 0:
        return 0
    found: int = _ATTRIBUTES.unpack(attributes.raw)[5]
    return found
