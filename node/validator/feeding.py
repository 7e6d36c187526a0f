"""New heights for those who follow: what was certified here goes to whom this node feeds, whole and once.

A height leaves when it is certified and executed here, before it is stored: its certificate is what counts.
What is large is told instead, once it is stored, and fetched by range (C25). A node without a seat takes no
part in agreement: it hears of certified heights alone.
"""

from collections.abc import Sequence

from consensus import (
    Certificates,
    HeaderCertificate,
    Height,
    InvalidMessage,
)
from node import wire
from node.pool.effects import Send, Wake
from node.pool.following import FollowEffect, Following, FollowLimits, Pull, Tell
from node.pool.messages import Fed, Follow, SyncResponse
from node.pool.verifying import Judgement
from node.validator.dataplane import DataPlane
from node.validator.epochs import Epochs
from node.validator.line import Settled
from node.validator.mail import Mail
from node.validator.outputs import SendFrame, StartTimer
from node.validator.term import Term

FOLLOW_TIMER = "follow"


class Feeding:
    """The routes of `Following`: who feeds us, whom we feed, and with what."""

    def __init__(
        self, mail: Mail, data: DataPlane, epochs: Epochs, term: Term, stored: HeaderCertificate | None
    ) -> None:
        """`stored` is the certificate of the tip, where the database holds one."""
        self._mail = mail
        self._data = data
        self._epochs = epochs
        self._term = term
        self._stored = stored
        self._unsent: Height | None = None
        height = Height(data.line.tip.height)
        self.following = Following(FollowLimits(), follows=term.me is None, epoch=term.epoch, height=height)

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """(name, current, bound)."""
        return (*self.following.limits(), *self._data.fresh.limits())

    def enter(self, term: Term, renamed: dict[bytes, bytes]) -> None:
        """An epoch begins; `renamed` are links that have another identity in it."""
        self._term = term
        directory = self._mail.directory
        validators = {inner: directory.is_validator(inner) for inner in directory.links().values()}
        self._serve(
            self.following.enter(
                follows=term.me is None, epoch=term.epoch, renamed=renamed, validators=validators
            )
        )

    # --- links and messages ----------------------------------------------------------------------------

    def on_link_up(self, identity: bytes) -> None:
        """A link opened."""
        is_validator = self._mail.directory.is_validator(identity)
        self._serve(self.following.on_link_up(identity, is_validator, self._mail.now_ms))

    def on_link_down(self, identity: bytes) -> None:
        """A link ended."""
        self._serve(self.following.on_link_down(identity, self._mail.now_ms))

    def on_tick(self) -> None:
        """Time went by."""
        self._serve(self.following.on_tick(self._mail.now_ms))

    def on_message(self, identity: bytes, message: Follow | Fed) -> None:
        """Somebody follows, or answers who does."""
        if isinstance(message, Follow):
            self._serve(self.following.on_follow(identity, message, self._mail.now_ms))
        else:
            self._serve(self.following.on_fed(identity, message, self._mail.now_ms))

    def on_told(self, identity: bytes, certificate: HeaderCertificate) -> None:
        """A peer's newest certificate, of whatever epoch. Raises PeerError for a false one."""
        if certificate.height <= self._data.line.certified_height:
            return
        judgement = self._term.trust.certificate(certificate)
        if judgement is Judgement.INVALID:
            raise InvalidMessage(
                "told-certificate", f"the certificate of height {certificate.height} is wrong"
            )
        if judgement is Judgement.VALID:
            self._serve(self.following.on_told(identity, certificate, self._mail.now_ms))

    def takes(self, identity: bytes, response: SyncResponse) -> bool:
        """Whether these heights were sent unasked by a peer that we asked to feed us."""
        data, now_ms = self._data, self._mail.now_ms
        if not self.following.is_expected(identity) or data.catchup.is_asked(identity, response.from_height):
            return False
        if self._term.me is None and not data.on_pushed(identity, response):
            self._serve(self.following.on_fault(identity, now_ms))
        return True

    # --- what is certified here ------------------------------------------------------------------------

    def on_certified(self, settled: Sequence[Settled], certificate: HeaderCertificate | None) -> None:
        """These heights are on their way to storage: they go to whom we feed."""
        if certificate is None:
            return
        self.following.on_height(certificate.height)
        fed = self.following.fed
        if not fed:
            return
        pushed = self._data.fresh.take(settled, certificate)
        if pushed is None:
            self._unsent = certificate.height
        else:
            topic, body = wire.frame_of_pool(pushed)
            for identity in fed:
                self._mail.put(SendFrame(self._mail.directory.outer(identity), topic, body))

    def on_stored(self, certificate: HeaderCertificate | None) -> None:
        """Everything up to this certificate, if anything, can be served from storage now: what was not sent
        is told."""
        if certificate is None:
            return
        self._stored = certificate
        if self._unsent is not None and self._unsent <= certificate.height:
            self._unsent = None
            for identity in self.following.fed:
                self._tell(identity, certificate)

    # --- inside ----------------------------------------------------------------------------------------

    def _serve(self, effects: list[FollowEffect]) -> None:
        for effect in effects:
            match effect:
                case Send(peer, message):
                    self._mail.send_pool(peer, message)
                case Wake(delay_ms):
                    self._mail.put(StartTimer(FOLLOW_TIMER, delay_ms))
                case Pull(certificate, peer):
                    self._data.fell_behind(certificate, peer, walks=False)
                case Tell(peer, epoch, height):
                    if epoch == self._term.epoch:
                        if self._stored is not None and self._stored.height > height:
                            self._tell(peer, self._stored)
                    elif epoch < self._term.epoch:
                        link = self._epochs.link(epoch + 1)
                        if link is not None:
                            self._tell(peer, link.certificate)
        self._data.fresh.wanted = bool(self.following.fed)

    def _tell(self, identity: bytes, certificate: HeaderCertificate) -> None:
        frame = wire.frame_of_agreement(Certificates(None, None, certificate))
        self._mail.put(SendFrame(self._mail.directory.outer(identity), *frame))
