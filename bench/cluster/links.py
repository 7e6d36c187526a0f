"""By what means a link is made lossy, and why: decided from what was found on the machine, nothing else."""

from dataclasses import dataclass
from enum import Enum


class Means(Enum):
    """NAMESPACES: the kernel drops IP packets between nodes in network namespaces of their own, and TCP sends
    them again. PROXIES: a proxy below TLS, in the path of all links, stalls as if it did."""

    NAMESPACES = "namespaces"
    PROXIES = "proxies"


@dataclass(frozen=True, slots=True)
class Findings:
    """What the machine has. `missing` are tools; `refusal` is what it said when namespaces were tried, empty
    when they could be opened or were not tried."""

    system: str
    is_root: bool
    missing: tuple[str, ...]
    refusal: str = ""

    @property
    def obstacle(self) -> str:
        """Why there can be no namespaces; empty when nothing is known against them."""
        if self.system != "Linux":
            return f"network namespaces are Linux's, this is {self.system}"
        if not self.is_root:
            return "network namespaces need root"
        if self.missing:
            return f"not installed: {', '.join(self.missing)}"
        return self.refusal


@dataclass(frozen=True, slots=True)
class Links:
    """The means, and the reason, as part of a sentence: what stood against the better one, or allows it."""

    means: Means
    why: str


def choose(found: Findings) -> Links:
    """Real packets where they can be lost, else the proxy."""
    if obstacle := found.obstacle:
        return Links(Means.PROXIES, obstacle)
    return Links(Means.NAMESPACES, "root on a kernel with veth, bridge, NAT and numgen of nftables")
