"""How much room is little, on a disk and in a database's map: the same for this node and for all others."""

DISK_LOW_RESERVES = 8
"""So many times the reserve is low: there is time to act."""
MAP_FULL_PERMILLE = 900


def mib(size: int) -> str:
    """A size in bytes, in words."""
    return f"{size / 2**20:.0f} MiB"
