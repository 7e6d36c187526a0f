"""The system application `federation`: always there, under no policy, called by couriers.

    deliver  what a courier brings from another cluster     (`delivering.py`)
    accuse   evidence against a cluster                     (`judging.py`)
    recover  a recovery that operators approved             (`judging.py`)
    renew    the operators of another cluster               (`judging.py`)

All but `accuse` are for the node keys of current validators, `accuse` is for members and operators, too.
Who federates with whom, and how, operators decide by governance (`changes.py`).
"""

from collections.abc import Callable
from typing import Any

from consensus import Value
from node.ledger import methods
from node.ledger.federation.delivering import deliver, parse_deliver
from node.ledger.federation.judging import accuse, parse_accuse, parse_recover, parse_renew, recover, renew
from node.ledger.federation.session import Session
from node.ledger.methods import Arguments, Deed

NAME = "federation"

METHODS: dict[str, Deed[Session, Any]] = {
    "deliver": Deed(parse_deliver, deliver),
    "accuse": Deed(parse_accuse, accuse),
    "recover": Deed(parse_recover, recover),
    "renew": Deed(parse_renew, renew),
}


def parse(method: str, args: Arguments) -> Callable[[Session], Value]:
    """The call with its arguments checked, pure in them. Raises RejectedTransaction UNKNOWN_METHOD or
    INVALID_ARGUMENTS."""
    return methods.parse(NAME, METHODS, method, args)
