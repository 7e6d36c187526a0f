"""The one fault of this room: somebody handed over a proof that does not prove what it claims."""


class ProofError(ValueError):
    """A proof was refused; `str()` says in words which check it failed.

    Whoever supplied the proof is at fault. A refusal is never evidence against anybody (federation
    rule F3): it is scored against the submitter and nothing freezes.
    """
