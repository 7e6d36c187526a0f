"""Features: changes of the rules that a cluster turns on by governance, everybody at the same border (C4).

Software that knows a new rule runs by the old ones until its operators agree. A proposal that enables
features ends the epoch, and what it enabled is in force from the first block of the next: one state leaf,
`governance/features`, says since when, provable like any other. Whether a name is known decides nothing in
execution, so software of every release comes to the same header at the border; whoever does not know what is
in force beyond it stops there, before it could execute otherwise than the others.

    Features = [1, [[name, first epoch], ...]]        in the order of enabling
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from consensus import CodecError, Epoch, LocalError, as_array, as_int, as_text, as_tuple, decode, encode
from node.ledger.names import NAME_CHARACTERS_MAX, check_name

FEATURES_KEY = b"governance/features"
"""The state key of what was enabled."""
FEATURES_MAX = 64
"""Most features of a cluster, ever."""
FEATURES_VERSION = 1
REVOCABLE_APPROVALS = "revocable-approvals"


@dataclass(frozen=True, slots=True)
class Feature:
    """One change of the rules. `since_protocol` is the first protocol version whose software knows it."""

    name: str
    since_protocol: int
    words: str


FEATURES: tuple[Feature, ...] = (
    Feature(REVOCABLE_APPROVALS, 3, "operators may take back an approval: governance method revoke"),
)
"""Every feature that this software knows, oldest first; entries are never changed or taken away."""


@dataclass(frozen=True, slots=True)
class Enabled:
    """A feature that governance enabled, and the first epoch in which it is in force."""

    name: str
    epoch: Epoch


class UpgradeNeeded(LocalError):
    """The cluster enabled features that this software does not know: it must not go past the border."""

    code = "upgrade-needed"

    def __init__(self, names: Sequence[str], epoch: int, height: int) -> None:
        super().__init__(
            f"epoch {epoch} begins above height {height} with {', '.join(names)}, which this software does "
            "not know; nothing was signed or executed beyond. Install the release that the other validators "
            "run and start again"
        )
        self.names = tuple(names)


@lru_cache(maxsize=16)
def decode_features(stored: bytes | None) -> tuple[Enabled, ...]:
    """What the leaf holds; nothing when it was never written. Raises CodecError."""
    if stored is None:
        return ()
    version, listed = as_tuple(decode(stored), 2, "features")
    as_int(version, "features version", low=FEATURES_VERSION, high=FEATURES_VERSION)
    found = []
    for item in as_array(listed, FEATURES_MAX, "features"):
        name, epoch = as_tuple(item, 2, "feature")
        text = as_text(name, "feature", max_length=NAME_CHARACTERS_MAX)
        try:
            found.append(Enabled(check_name(text, "feature"), Epoch(as_int(epoch, "first epoch"))))
        except ValueError as error:
            raise CodecError(str(error)) from error
    return tuple(found)


def encode_features(enabled: Sequence[Enabled]) -> bytes:
    """The leaf."""
    return encode((FEATURES_VERSION, tuple((feature.name, feature.epoch) for feature in enabled)))


def in_force(enabled: Iterable[Enabled], epoch: int) -> tuple[str, ...]:
    """The names that hold in blocks of `epoch`."""
    return tuple(feature.name for feature in enabled if feature.epoch <= epoch)


def names_known() -> tuple[str, ...]:
    """The names that this software knows."""
    return tuple(feature.name for feature in FEATURES)


def unknown_among(names: Iterable[str], known: Sequence[str]) -> tuple[str, ...]:
    """Those of `names` that are not `known`."""
    return tuple(name for name in names if name not in known)
