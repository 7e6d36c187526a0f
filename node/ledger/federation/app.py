"""The system application `federation`: always there, under no policy, called by couriers.

    deliver  what a courier brings from another cluster     (`delivering.py`)
    accuse   evidence against a cluster                     (`judging.py`)
    recover  a recovery that operators approved             (`judging.py`)
    renew    the operators of another cluster               (`judging.py`)

All but `accuse` are for the node keys of current validators, `accuse` is for members and operators, too.
Who federates with whom, and how, operators decide by governance (`changes.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from consensus import CodecError, Value
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.federation.delivering import deliver, parse_deliver
from node.ledger.federation.judging import accuse, parse_accuse, parse_recover, parse_renew, recover, renew
from node.ledger.federation.session import Session
from node.proofs import ProofError

NAME = "federation"
Parsed = TypeVar("Parsed")
Arguments: TypeAlias = tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Deed(Generic[Parsed]):
    """One method of the federation. `parse` raises CodecError."""

    parse: Callable[[Arguments], Parsed]
    run: Callable[[Session, Parsed], Value]


METHODS: dict[str, Deed[Any]] = {
    "deliver": Deed(parse_deliver, deliver),
    "accuse": Deed(parse_accuse, accuse),
    "recover": Deed(parse_recover, recover),
    "renew": Deed(parse_renew, renew),
}


def parse(method: str, args: Arguments) -> Callable[[Session], Value]:
    """The call with its arguments checked, pure in them. Raises RejectedTransaction UNKNOWN_METHOD or
    INVALID_ARGUMENTS."""
    deed = METHODS.get(method)
    if deed is None:
        raise RejectedTransaction(
            Code.UNKNOWN_METHOD, f"federation has no method {method!a:.40}, but {', '.join(METHODS)}"
        )
    try:
        parsed = deed.parse(args)
    except (CodecError, ProofError) as error:
        raise RejectedTransaction(Code.INVALID_ARGUMENTS, str(error)[:400]) from error
    return lambda session: deed.run(session, parsed)
