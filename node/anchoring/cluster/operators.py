"""Operators: the admin keys that speak for a cluster when its validators cannot (F6), read from its roster,
and the keys of its nodes, by which others know them.

Of the genesis everybody knows the first operators. Governance replaces them on the cluster's own ledger, in
one state leaf; its proof under an anchored state root tells others. What else a roster says is not read here.

    key `governance/validators`
    value [1, epoch, [[name, organisation, consensus key, node key, weight, operator key], ...]]
"""

from consensus import (
    VALIDATORS_MAX,
    WEIGHT_MAX,
    CodecError,
    Epoch,
    PublicKey,
    Validator,
    ValidatorSet,
    Value,
    as_array,
    as_bytes,
    as_int,
    as_tuple,
    decode,
)

ROSTER_KEY = b"governance/validators"
ROSTER_VERSION = 1
ROSTER_BYTES_MAX = 64 * 1024


def read_members(listed: Value, epoch: int) -> tuple[ValidatorSet, ValidatorSet]:
    """(signers, operators) of a genesis' or roster's list of validators, both in its order, with the same
    weights; raises CodecError."""
    signers, operators = [], []
    for item in as_array(listed, VALIDATORS_MAX, "validators"):
        _, _, key, _, weight, operator = as_tuple(item, 6, "validator")
        share = as_int(weight, "weight", low=1, high=WEIGHT_MAX)
        signers.append(Validator(PublicKey(as_bytes(key, "consensus key", length=32)), share))
        operators.append(Validator(PublicKey(as_bytes(operator, "operator key", length=32)), share))
    try:
        return ValidatorSet(Epoch(epoch), tuple(signers)), ValidatorSet(Epoch(epoch), tuple(operators))
    except ValueError as error:
        raise CodecError(f"validators: {error}") from error


def read_roster(data: bytes) -> tuple[ValidatorSet, ValidatorSet]:
    """(signers, operators) of a roster leaf; raises CodecError."""
    epoch, listed = _opened(data)
    return read_members(listed, epoch)


def read_nodes(data: bytes) -> tuple[int, tuple[PublicKey, ...]]:
    """(epoch, node keys) of a roster leaf, in its order; raises CodecError."""
    epoch, listed = _opened(data)
    return epoch, node_keys(listed)


def node_keys(listed: Value) -> tuple[PublicKey, ...]:
    """The node keys of a genesis' or roster's list of validators, in its order; raises CodecError."""
    items = as_array(listed, VALIDATORS_MAX, "validators")
    found = (as_bytes(as_tuple(item, 6, "validator")[3], "node key", length=32) for item in items)
    return tuple(PublicKey(key) for key in found)


def _opened(data: bytes) -> tuple[int, Value]:
    version, epoch, listed = as_tuple(decode(data, max_bytes=ROSTER_BYTES_MAX, max_depth=3), 3, "roster")
    if version != ROSTER_VERSION:
        raise CodecError(f"roster version {version!a:.20} is not {ROSTER_VERSION}")
    return as_int(epoch, "epoch"), listed
