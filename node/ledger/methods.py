"""The methods of a system application: a table of what each parses and what it then does.

Governance and the federation are called by transactions like any application, but no policy stands before
them: each method asks for itself who may call it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from consensus import CodecError, Value
from node.ledger.codes import Code, RejectedTransaction
from node.proofs import ProofError

REASON_CHARACTERS_MAX = 400

Arguments: TypeAlias = tuple[Value, ...]
SessionT = TypeVar("SessionT")
Parsed = TypeVar("Parsed")


@dataclass(frozen=True, slots=True)
class Deed(Generic[SessionT, Parsed]):
    """One method. `parse` raises CodecError, or ProofError where its arguments hold a proof."""

    parse: Callable[[Arguments], Parsed]
    run: Callable[[SessionT, Parsed], Value]


def parse(
    app: str, methods: Mapping[str, Deed[SessionT, Any]], method: str, args: Arguments
) -> Callable[[SessionT], Value]:
    """The call with its arguments checked, pure in them. Raises RejectedTransaction UNKNOWN_METHOD or
    INVALID_ARGUMENTS."""
    deed = methods.get(method)
    if deed is None:
        raise RejectedTransaction(
            Code.UNKNOWN_METHOD, f"{app} has no method {method!a:.40}, but {', '.join(methods)}"
        )
    try:
        parsed = deed.parse(args)
    except (CodecError, ProofError) as error:
        raise RejectedTransaction(Code.INVALID_ARGUMENTS, str(error)[:REASON_CHARACTERS_MAX]) from error
    return lambda session: deed.run(session, parsed)
