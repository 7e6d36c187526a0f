"""One process per key on one machine, also when a home was copied: the folder lock cannot see that.

On Linux a process claims the key itself, as an abstract socket named by the public key: the kernel gives
each name once per network namespace and takes it back when the process ends, however it ends. Elsewhere,
and between machines, only the guard and the other validators' evidence remain (C14).
"""

import errno
import socket
import sys

from node.daemon.keylock import KeyInUse


class KeyClaim:
    """The exclusive right of this process, among those on this machine, to sign with one key."""

    def __init__(self, holder: socket.socket | None) -> None:
        """Not for callers: `take`."""
        self._holder = holder

    @classmethod
    def take(cls, public_key: bytes) -> "KeyClaim":
        """Claim the key or raise KeyInUse at once."""
        if sys.platform != "linux":
            return cls(None)
        holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            holder.bind(f"\0isthmus-key-{public_key.hex()}")
        except OSError as error:
            holder.close()
            if error.errno != errno.EADDRINUSE:
                raise
            raise KeyInUse(
                f"the consensus key {public_key.hex()[:12]} is already used by another process on this "
                "machine, from a copy of this home: stop that one, and remove the copy. Two processes with "
                "one key would contradict each other, and the other validators would count that as "
                "misbehaviour"
            ) from error
        return cls(holder)

    def release(self) -> None:
        """Give the claim back; a second call does nothing."""
        if self._holder is not None:
            self._holder.close()
            self._holder = None
