"""Epochs as they are stored: where each begins, what proves it, and who validates in it (C4).

An epoch begins above the header that ended the one before. That header with its certificate is the epoch
link: who is behind asks for no more of an epoch that is over. One entry an epoch, kept for ever.
"""

from collections import OrderedDict
from dataclasses import dataclass

from consensus import (
    Epoch,
    HeaderCertificate,
    Height,
    LocalError,
    QuorumCertificate,
    ValidatorSet,
    as_bytes,
    as_tuple,
    decode,
    encode_trusted,
    root_certificate,
    root_id,
)
from node.genesis import Genesis
from node.ledger.roster import Roster
from node.proofs.header import Header
from node.storage import ChainTable, Reader, Write
from node.storage import epoch_key as epoch_key

REMEMBERED_MAX = 16
"""Links of epochs kept in memory: laggards ask for the same one, again and again."""


@dataclass(frozen=True, slots=True)
class EpochLink:
    """The beginning of epoch `roster.epoch`: `header` ends the epoch before, whose set signed
    `certificate`."""

    header: Header
    certificate: HeaderCertificate
    roster: Roster

    def write(self) -> Write:
        """The entry of the chain."""
        value = (self.header.encoded, self.certificate.to_value(), self.roster.encode())
        return Write(ChainTable.EPOCHS, epoch_key(self.roster.epoch), encode_trusted(value))

    @staticmethod
    def decode(data: bytes) -> "EpochLink":
        """The link of these bytes; raises LocalError: nobody but this program wrote it."""
        try:
            header, certificate, roster = as_tuple(decode(data), 3, "epoch link")
            return EpochLink(
                Header.decode(as_bytes(header, "header")),
                HeaderCertificate.from_value(certificate),
                Roster.decode(as_bytes(roster, "roster")),
            )
        except ValueError as error:
            raise LocalError(f"a stored epoch link cannot be read: {error}") from error


@dataclass(frozen=True, slots=True)
class EpochRoot:
    """What agreement of an epoch starts from: its unsigned certificate, and height and time below it."""

    certificate: QuorumCertificate
    height: Height
    time_ms: int


def epoch_after(header: Header) -> Epoch:
    """The epoch of the block above this header."""
    return Epoch(header.epoch + (header.next_validators_hash is not None))


class Epochs:
    """All epochs this node has executed, over what is stored."""

    def __init__(self, genesis: Genesis, reader: Reader) -> None:
        self._genesis = genesis
        self._reader = reader
        self._links: OrderedDict[int, EpochLink] = OrderedDict()

    def link(self, epoch: int) -> EpochLink | None:
        """The link that begins `epoch`; None for epoch 0, and for what is not stored here."""
        known = self._links.get(epoch)
        if known is not None:
            return known
        data = self._reader.get(ChainTable.EPOCHS, epoch_key(epoch)) if epoch > 0 else None
        if data is None:
            return None
        link = self._links[epoch] = EpochLink.decode(data)
        if len(self._links) > REMEMBERED_MAX:
            self._links.popitem(last=False)
        return link

    def roster(self, epoch: int) -> Roster | None:
        """Who validates in `epoch`; None when that is not known here."""
        if epoch == 0:
            return self._genesis.roster()
        link = self.link(epoch)
        return None if link is None else link.roster

    def set_of(self, epoch: Epoch) -> ValidatorSet | None:
        """The signers of `epoch`; None when they are not known here."""
        roster = self.roster(epoch)
        return None if roster is None else roster.validator_set()

    def root(self, epoch: Epoch) -> EpochRoot:
        """Where `epoch` starts (C4). Raises LocalError when it is not stored."""
        if epoch == 0:
            first = self._genesis.genesis_header()
        else:
            link = self.link(epoch)
            if link is None:
                raise LocalError(f"the beginning of epoch {epoch} is missing from the database")
            first = link.header
        certificate = root_certificate(epoch, root_id(self._genesis.cluster_id, epoch, first.hash))
        return EpochRoot(certificate, Height(first.height), first.time_ms)

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """(name, current, bound)."""
        return (("epoch_links", len(self._links), REMEMBERED_MAX),)
