"""Whose fault it is: the error families of the agreement layer.

A `PeerError` is somebody else's doing: it names the sender, it is scored by the caller and the
replica goes on. A `LocalError` is ours (a broken invariant, a corrupt record): the process stops
loudly. Nothing that arrives from the network may ever raise a `LocalError` or reach an `assert`.
"""


class ConsensusError(Exception):
    """Base of everything this package raises on purpose."""


class LocalError(ConsensusError):
    """Our own fault: an invariant is broken or durable data contradicts itself. Stop the process."""


class SigningRefused(LocalError):
    """The safety rules refuse to sign; raised when composition asks for what it must not ask."""


class PeerError(ConsensusError):
    """A peer sent something it must not send; carries the peer (its public key) once it is known.

    `peer` is the 32-byte key of the sending link, or None while only bytes were looked at; `code` is
    a stable short string for metrics and scores; `detail` names the compared values in words.
    """

    def __init__(self, code: str, detail: str, peer: bytes | None = None) -> None:
        super().__init__(code, detail, peer)
        self.code = code
        self.detail = detail
        self.peer = peer

    def blamed_on(self, peer: bytes) -> "PeerError":
        """The same fault with the sender's name on it."""
        return type(self)(self.code, self.detail, peer)

    def __str__(self) -> str:
        sender = "" if self.peer is None else f" from {self.peer.hex()[:12]}"
        return f"{self.code}{sender}: {self.detail}"


class MalformedMessage(PeerError):
    """Bytes that are not the canonical encoding of what they claim to be."""


class InvalidCertificate(PeerError):
    """A certificate with a bad signature, a wrong set, duplicate signers or too little weight."""


class InvalidBlock(PeerError):
    """A block that no correct leader can have made."""


class InvalidMessage(PeerError):
    """A well-formed message that its signer had no right to send."""


class CodecError(ValueError):
    """Bytes refused by the strict canonical codec; `str()` says which rule was broken."""
