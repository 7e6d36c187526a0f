"""What questions to other clusters come to, apart from who asks them: a client loads no daemon for these."""

from dataclasses import dataclass

from node.anchoring.client.state import ClientState


@dataclass(frozen=True, slots=True)
class HeldProof:
    """Our client of another cluster, proven under our own header of `height`."""

    height: int
    client: ClientState
    leaf: bytes
    proof: bytes
    genesis_body: bytes


@dataclass(frozen=True, slots=True)
class StateTold:
    """An answer at an anchored root: the bundle with its genesis, the path from its header to the anchored
    one, and our own client leaf with its proof under our header of `held.height`."""

    bundle: bytes
    path: tuple[bytes, ...]
    held: HeldProof
