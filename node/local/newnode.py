"""Makes a node: its folder, its keys, the guard that is born with the validator key (rule C14)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from consensus import Epoch, GuardRecord, SigningKey, encode
from node.config import PeerConfig
from node.daemon.guardfile import GuardFile
from node.home import SEED_BYTES, Home, write_key, write_new
from p2p import NodeIdentity

RandomBytes = Callable[[int], bytes]
_FIRST_EPOCH = Epoch(0)


@dataclass(frozen=True, slots=True)
class NodeKeys:
    """The public halves: what others need to know. An observer has no consensus key."""

    node_key: bytes
    consensus_key: bytes | None


@dataclass(frozen=True, slots=True)
class NodeSetup:
    """What a new node's config.toml says beside the defaults."""

    name: str
    role: str
    p2p_port: int
    api_port: int
    p2p_host: str = "127.0.0.1"
    api_host: str = "127.0.0.1"
    peers: tuple[PeerConfig, ...] = ()
    allowed: tuple[bytes, ...] = ()
    unmetered: bool = False
    """One machine, one client for everybody: its key is not limited."""
    verify_workers: int | None = None
    """Processes that check signatures; None: as by default."""

    def to_toml(self) -> str:
        """The overrides; every default that holds stays out, so that better defaults reach old homes."""
        lines = [
            "# What differs from the defaults; `isthmus config show --effective` prints every setting.",
            f'name = "{self.name}"',
            f'role = "{self.role}"',
            "",
            "[p2p]",
            f'host = "{self.p2p_host}"',
            f"port = {self.p2p_port}",
            *((f"allowed = {[key.hex() for key in self.allowed]}",) if self.allowed else ()),
            "",
            "[api]",
            f'host = "{self.api_host}"',
            f"port = {self.api_port}",
            *self._limits(),
        ]
        return "\n".join(lines) + "\n" + "".join(map(_peer_toml, self.peers))

    def _limits(self) -> list[str]:
        lines = []
        if self.unmetered:
            lines.append("transactions_per_second = 0")
        if self.verify_workers is not None:
            lines.append(f"verify_workers = {self.verify_workers}")
        return ["", "[limits]", *lines] if lines else []


def create_keys(home: Home, role: str, random_bytes: RandomBytes) -> NodeKeys:
    """Make the folder, the keys and the guard. Raises HomeError when the folder is a home already."""
    home.create()
    node_seed = random_bytes(SEED_BYTES)
    write_key(home.node_key_file, node_seed)
    consensus_key: bytes | None = None
    if role != "observer":
        seed = random_bytes(SEED_BYTES)
        # The guard comes first: a guard without a key is harmless, a key without a guard never signs.
        GuardFile.create(home.guard_file, encode(GuardRecord.initial(_FIRST_EPOCH).to_value())).close()
        write_key(home.validator_key_file, seed)
        consensus_key = SigningKey(seed).public_key
    return NodeKeys(NodeIdentity.from_seed(node_seed).peer_id, consensus_key)


def write_setup(home: Home, setup: NodeSetup, genesis_json: str | None) -> None:
    """Write config.toml and, when it is known already, genesis.json."""
    write_new(home.config_file, setup.to_toml().encode(), 0o644)
    if genesis_json is not None:
        write_new(home.genesis_file, genesis_json.encode(), 0o644)


def add_peers(home: Home, peers: Iterable[PeerConfig]) -> None:
    """Add peers to config.toml, in one step: a crash leaves the old file or the new one, synced."""
    text = home.config_file.read_text(encoding="utf-8").rstrip("\n") + "\n" + "".join(map(_peer_toml, peers))
    draft = home.config_file.with_suffix(".new")
    draft.unlink(missing_ok=True)
    write_new(draft, text.encode(), 0o644)
    draft.replace(home.config_file)


def _peer_toml(peer: PeerConfig) -> str:
    return (
        f'\n[[p2p.peers]]\nname = "{peer.name}"\nnode_key = "{peer.node_key.hex()}"\n'
        f'host = "{peer.host}"\nport = {peer.port}\n'
    )
