"""Where a simulated world plays: its keys, its genesis, and how signatures are checked in it.

Everything is a function of names, so that a world of one size and one set of parameters has the same
cluster id in every process.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from bench.sim.keyedhash import KEYED_HASH, KeyedHashKey
from bench.sim.remembered import NAME as REMEMBERED
from consensus import ED25519, SignatureScheme, Signer, SigningKey
from node.genesis import Genesis
from node.ledger.members import Member
from node.ledger.params import Params
from node.ledger.roster import ValidatorRecord

CREATED_MS = 1_700_000_000_000
DEFAULT_PARAMS = Params(created_ms=CREATED_MS)
CLIENTS = 4
_ORGANISATIONS = ("acme", "bolts")
_KEYS: Mapping[str, Callable[[bytes], Signer]] = {
    ED25519.name: SigningKey,
    REMEMBERED: SigningKey,
    KEYED_HASH.name: KeyedHashKey,
}


@dataclass(frozen=True, slots=True)
class Setting:
    """A genesis with the keys of everybody in it."""

    genesis: Genesis
    scheme: SignatureScheme
    validators: tuple[Signer, ...]
    """Consensus keys of the genesis' validators in their order, then those of `candidates`."""
    clients: tuple[Signer, ...]
    candidates: tuple[ValidatorRecord, ...] = ()
    """Nodes that follow from the beginning and may become validators."""
    operators: tuple[Signer, ...] = ()
    """Keys that decide in governance, of validators and candidates."""

    @property
    def records(self) -> tuple[ValidatorRecord, ...]:
        """Who runs the nodes, in the order of `validators`."""
        return (*self.genesis.validators, *self.candidates)


def key_of(name: str, scheme: SignatureScheme = ED25519) -> Signer:
    """The same key for the same name, always."""
    return _KEYS[scheme.name](sha256(name.encode()).digest())


def make_setting(
    nodes: int = 4,
    scheme: SignatureScheme = ED25519,
    weights: Sequence[int] | None = None,
    params: Params = DEFAULT_PARAMS,
    candidates: int = 0,
) -> Setting:
    """A cluster of `nodes` validators of two organisations, with clients of both, and `candidates` that may
    join it. Raises GenesisError for what no cluster may be made of."""
    validators = tuple(key_of(f"consensus {number}", scheme) for number in range(nodes + candidates))
    clients = tuple(key_of(f"client {number}", scheme) for number in range(CLIENTS))
    members = [
        Member(key.public_key, _ORGANISATIONS[number % 2], ("client",), f"client-{number}")
        for number, key in enumerate(clients)
    ]
    records = [
        ValidatorRecord(
            f"v{number}",
            _ORGANISATIONS[number % 2],
            key.public_key,
            key_of(f"node {number}").public_key,
            1 if weights is None or number >= nodes else weights[number],
            key_of(f"operator {number}", scheme).public_key,
        )
        for number, key in enumerate(validators)
    ]
    genesis = Genesis.new("simulated", params, records[:nodes], members, ())
    operators = tuple(key_of(f"operator {number}", scheme) for number in range(nodes + candidates))
    return Setting(genesis, scheme, validators, clients, tuple(records[nodes:]), operators)
