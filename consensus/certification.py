"""From executed blocks to header certificates, and what happens when results differ (C3, C25).

Ordering does not wait for this room: it only refuses payload when certification lags (C13). A quorum of
header signatures certifies the header and, through parent hashes, all before it; gaps between certified
heights are fine. A blocking set behind another hash than ours means that our result can never be
certified: we have diverged.
"""

from consensus.certificates import HeaderCertificate
from consensus.core import ReplicaCore
from consensus.effects import Certified, FellBehind
from consensus.events import HeaderComputed
from consensus.keys import Digest
from consensus.messages import HeaderSignature
from consensus.tally import HeaderTally
from consensus.validators import Height


class Certification:
    """Own headers and everybody's signatures above the certified height."""

    def __init__(self, core: ReplicaCore) -> None:
        self._core = core
        self._tally = HeaderTally(core.validators)
        self._computed: dict[Height, tuple[Digest, Digest]] = {}  # ours: block id, header hash
        self._certified_ahead: dict[Height, HeaderCertificate] = {}  # certified before we computed them
        self._behind_peer: bytes | None = None
        self.missing: tuple[Digest, bytes | None] | None = None  # a certified block we do not have

    @property
    def signatures(self) -> int:
        """Header signatures kept."""
        return len(self._tally)

    @property
    def computed(self) -> int:
        """Own headers not certified yet."""
        return len(self._computed)

    @property
    def certified_ahead(self) -> int:
        """Certificates kept until the same header is computed here."""
        return len(self._certified_ahead)

    # --- our own results -----------------------------------------------------------------------

    def on_header_computed(self, event: HeaderComputed) -> None:
        """Compare our result, sign it once (S8), tell the others."""
        core = self._core
        height, ours = event.height, (event.block_id, event.header_hash)
        certificate = self._certified_ahead.pop(height, None)
        if certificate is not None and (certificate.block_id, certificate.header_hash) != ours:
            core.diverge(height, event.header_hash, certificate.header_hash, "a certificate says otherwise")
        if height <= core.certified_height:  # C25: final already, no signature needed
            return
        self._computed[height] = ours
        while len(self._computed) > core.config.heights_ahead_max:
            del self._computed[next(iter(self._computed))]
        self._compare(height)
        safety = core.safety
        if safety is None or core.diverged is not None:  # C3
            return
        stored = safety.record.last_header
        if stored is not None and stored.height == height and stored.header_hash != event.header_hash:
            core.diverge(
                height, event.header_hash, stored.header_hash, "this node signed another result before"
            )
        elif safety.may_sign_header(height) is None:
            incarnation = core.config.incarnation
            core.outbox.release(safety.sign_header(incarnation, height, event.block_id, event.header_hash))

    def _compare(self, height: Height) -> None:
        """C3: more than a third of the weight behind another hash can never certify ours."""
        ours = self._computed.get(height)
        if ours is None:
            return
        theirs = self._tally.contradiction(height, ours[1])
        if theirs is not None:
            self._core.diverge(height, ours[1], theirs, "a blocking set signed another header")

    @property
    def _lowest(self) -> Height:
        """Signatures at or below this are of no use: final already, or, if certification has been stuck for
        very long, too old to be the next certificate."""
        core = self._core
        return max(core.certified_height, Height(core.tree.committed.height - core.config.heights_ahead_max))

    # --- everybody's signatures ----------------------------------------------------------------

    def on_header_signature(self, peer: bytes, signed: HeaderSignature) -> None:
        """Count a peer's signature; raises InvalidMessage."""
        core = self._core
        core.require_author(peer, signed.author, "header-signature")
        if signed.epoch != core.validators.epoch or signed.incarnation != core.config.incarnation:
            return
        window = core.config.heights_ahead_max
        highest = max(core.certified_height, core.tree.committed.height) + window
        if signed.height <= self._lowest or signed.height > highest:
            return  # final already, or too far above: the status will bring us there
        known = self._tally.get(signed.height, signed.author)
        if known is None:
            core.require_signature(signed, "header-signature")
            self.count(signed)
        elif known.header_hash != signed.header_hash:
            core.require_signature(signed, "header-signature")
            core.accuse(known, signed)

    def count(self, signed: HeaderSignature) -> None:
        """A verified signature, ours when it is durable (C2)."""
        lowest = self._lowest
        if signed.height <= lowest:
            return
        if not self._tally.holds(signed.height):
            self._tally.prune(Height(lowest + 1))
        certificate = self._tally.add(signed)
        self._compare(signed.height)
        if certificate is not None:
            self.adopt(certificate, None)

    # --- certificates --------------------------------------------------------------------------

    def adopt(self, certificate: HeaderCertificate, peer: bytes | None) -> None:
        """Take a verified certificate: it is final and commits its block and all before it (C25)."""
        core = self._core
        height = certificate.height
        if height <= core.certified_height:
            return
        if self._contradicts_us(certificate):
            return
        core.certified = certificate
        core.outbox.stage_certified(certificate)
        core.outbox.emit(Certified(certificate))
        self._tally.prune(Height(height + 1))
        if height not in self._computed:
            self._certified_ahead[height] = certificate
            while len(self._certified_ahead) > core.config.heights_ahead_max:
                del self._certified_ahead[next(iter(self._certified_ahead))]
        for computed in [known for known in self._computed if known <= height]:
            del self._computed[computed]
        self._follow(certificate, peer)

    def _contradicts_us(self, certificate: HeaderCertificate) -> bool:
        core, height = self._core, certificate.height
        computed = self._computed.get(height)
        if computed is not None and computed != (certificate.block_id, certificate.header_hash):
            core.diverge(height, computed[1], certificate.header_hash, "a certificate says otherwise")
            return True
        node = core.tree.header_at(height)
        if node is not None and node.id != certificate.block_id:
            core.diverge(height, node.id, certificate.block_id, "another block is certified at this height")
            return True
        return False

    def _follow(self, certificate: HeaderCertificate, peer: bytes | None) -> None:
        """Commit the certified block, or find out how to get it."""
        core = self._core
        tree, block_id = core.tree, certificate.block_id
        if block_id in tree:
            core.commit(block_id)
            core.forget_below(block_id)
        elif certificate.height > tree.committed.height + core.config.certification_lag_max:
            core.behind = certificate
            self._behind_peer = peer
            self.report_behind()
        elif certificate.height > tree.committed.height:
            self.missing = (block_id, peer)

    def on_synced(self, certificate: HeaderCertificate) -> None:
        """Catch-up has executed everything up to this certificate (C25); the caller moved the tree."""
        core = self._core
        if certificate.height > core.certified_height:
            core.certified = certificate
            core.outbox.stage_certified(certificate)
            self._tally.prune(Height(certificate.height + 1))
        for ahead in [known for known in self._certified_ahead if known <= certificate.height]:
            del self._certified_ahead[ahead]
        for computed in [known for known in self._computed if known <= certificate.height]:
            del self._computed[computed]
        self.missing = None
        if core.certified is not None and core.certified.height > certificate.height:
            self._follow(core.certified, self._behind_peer)  # more was certified while we caught up

    def give_up_walking(self) -> None:
        """A walk did not fit into the orphan buffer: catch up by headers if there is one above us."""
        core = self._core
        if core.certified is not None and core.certified.height > core.tree.committed.height:
            core.behind = core.certified
            self.report_behind()

    def report_behind(self) -> None:
        """Ask for catch-up; repeated with every status tick while it lasts."""
        core = self._core
        if core.behind is not None:
            target = core.certified if core.certified is not None else core.behind
            members = core.validators.validators
            peer = self._behind_peer or members[1 if core.me == 0 and len(members) > 1 else 0].public_key
            core.outbox.emit(FellBehind(target, peer))
