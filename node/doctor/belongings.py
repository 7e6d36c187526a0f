"""The home: settings, genesis, keys, guard, and whether they belong together."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from consensus import SigningKey
from node.config import ConfigError, NodeConfig, load_config
from node.daemon.guardfile import GuardFile
from node.daemon.keylock import KeyInUse, KeyLock
from node.daemon.keyswap import roster_of_home
from node.daemon.safetyfile import given_away
from node.doctor.finding import Finding, fault, good, is_full, skipped, warning
from node.genesis import Genesis, GenesisError
from node.home import Home, HomeError, KeyFileExposed, read_key
from node.storage import StorageError
from p2p import NodeIdentity


@dataclass(frozen=True, slots=True)
class Belongings:
    """What could be read of a home, None for what is missing or wrong. `is_running`: its keys are in use."""

    config: NodeConfig | None
    genesis: Genesis | None
    identity: NodeIdentity | None
    consensus_key: SigningKey | None
    is_running: bool


def look_at_home(home: Home, environ: Mapping[str, str]) -> tuple[Belongings, list[Finding]]:
    """Read everything, in the order in which a start would."""
    findings: list[Finding] = []
    config = _settings(home, environ, findings)
    genesis = _genesis(home, findings)
    node_seed = _seed("node-key", home.node_key_file, findings)
    identity = None if node_seed is None else NodeIdentity.from_seed(node_seed)
    role = "validator" if config is None else config.role
    seed = _seed("validator-key", home.validator_key_file, findings) if role != "observer" else None
    key = None if seed is None else SigningKey(seed)
    is_running = _is_running(home, findings)
    if key is not None:
        findings.append(_guard(home, is_running))
    if genesis is not None and identity is not None:
        findings.append(_membership(home, genesis, identity, key, role))
    return Belongings(config, genesis, identity, key, is_running), findings


def _settings(home: Home, environ: Mapping[str, str], findings: list[Finding]) -> NodeConfig | None:
    try:
        loaded = load_config(home, environ)
    except ConfigError as error:
        remedy = (
            f"edit {home.config_file}" if home.config_file.exists() else "name a node's folder with --home"
        )
        findings += [fault("config", problem, remedy) for problem in error.problems]
        return None
    findings.append(good("config", f"{home.config_file} is in order ({len(loaded.origins)} overrides)"))
    return loaded.config


def _genesis(home: Home, findings: list[Finding]) -> Genesis | None:
    remedy = f"put the cluster's genesis.json into {home.genesis_file.parent}, the same as every other node's"
    try:
        genesis = Genesis.from_json(home.genesis_text())
    except FileNotFoundError:
        findings.append(fault("genesis", f"{home.genesis_file} is missing", remedy))
    except (OSError, UnicodeDecodeError, GenesisError) as error:
        findings.append(fault("genesis", f"{home.genesis_file}: {error}", remedy))
    else:
        words = f"cluster {genesis.name}, id {genesis.cluster_id.hex()}"
        findings.append(good("genesis", words))
        return genesis
    return None


def _seed(check: str, path: Path, findings: list[Finding]) -> bytes | None:
    try:
        seed = read_key(path)
    except KeyFileExposed as error:
        findings.append(fault(check, str(error), "rotate the key if somebody may have read it meanwhile"))
        return None
    except (HomeError, OSError) as error:
        findings.append(fault(check, str(error), "keys cannot be made again: restore them from your copy"))
        return None
    findings.append(good(check, f"{path.name} is private and whole"))
    return seed


def _is_running(home: Home, findings: list[Finding]) -> bool:
    if not home.lock_file.exists():
        return False
    try:
        KeyLock.acquire(home.keys_dir).release()
    except KeyInUse as error:
        findings.append(good("running", f"a node runs: {str(error).partition(':')[0]}"))
        return True
    except StorageError as error:
        remedy = "make room" if is_full(error.__cause__) else f"make {home.keys_dir} yours: chown, chmod 700"
        findings.append(fault("key-folder", str(error), remedy))
    return False


def _guard(home: Home, is_running: bool) -> Finding:
    if told := given_away(home):
        return fault("guard", f"this validator was given away {told}", "see `isthmus explain given-away`")
    if is_running:
        return skipped("guard", "the running node holds the guard and has checked it")
    try:
        guard = GuardFile.open(home.guard_file)
    except StorageError as error:
        return fault("guard", str(error), "see `isthmus explain guard`")
    guard.close()
    if guard.damaged_slot:
        return warning("guard", "one of the guard's two slots cannot be read", "check the disk it lies on")
    return good("guard", "the guard is there and can be read")


def _membership(
    home: Home, genesis: Genesis, identity: NodeIdentity, key: SigningKey | None, role: str
) -> Finding:
    """What a start would say, which asks the genesis and the newest stored epoch of validators: those that
    came later have role joining."""
    if role == "observer":
        return good("membership", "an observer: it follows, and needs to be in p2p.allowed of those it dials")
    if role == "joining":
        return good(
            "membership",
            "a joining validator: it follows until governance admits it, and needs to be in p2p.allowed of "
            "one that it dials",
        )
    by_node_key = {bytes(v.node_key): v for v in genesis.validators}
    by_consensus_key = {bytes(v.consensus_key): v for v in genesis.validators}
    listed = by_node_key.get(bytes(identity.peer_id))
    signer = listed if key is None else by_consensus_key.get(bytes(key.public_key))
    named = listed if listed is not None else signer
    if named is None or listed != signer:
        rotated = roster_of_home(home)
        for record in () if rotated is None else rotated.validators:
            keys = (bytes(record.node_key), None if key is None else key.public_key)
            if keys == (bytes(identity.peer_id), record.consensus_key):
                return good("membership", f"this is validator {record.name}, with keys that were rotated")
    if named is None:
        return fault(
            "membership",
            "this node's keys are not among the first validators of the genesis",
            'set role = "joining" if governance admits it; otherwise use the genesis it was collected into',
        )
    if listed != signer:
        other = "node" if listed is None else "consensus"
        return fault(
            "membership",
            f"the genesis lists {named.name} with another {other} key than this home's",
            "restore the key folder this node was made with",
        )
    return good(
        "membership", f"this is validator {named.name} of {named.organisation}, weight {named.weight}"
    )
