"""A second verifier of certificates, from their bytes, the genesis keys and the rules as they are written
down; it shares nothing with `consensus.certificates` but the scheme that checks one signature.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import msgpack

from consensus import SignatureScheme

REMEMBERED_MAX = 4_096
"""Verdicts remembered by the certificate itself, oldest out first."""


class Certificates:
    """`members` of epoch 0 are (key, weight) in the order of the genesis, and `root_id` is the block that
    agreement starts from; later epochs are told."""

    def __init__(
        self, cluster_id: bytes, root_id: bytes, members: Sequence[tuple[bytes, int]], scheme: SignatureScheme
    ) -> None:
        self._cluster_id, self._verify = cluster_id, scheme.verify
        self._roots = {0: root_id}
        self._members = {0: members}
        self._verdicts: dict[tuple[Any, ...], str] = {}

    def begin(self, epoch: int, root_id: bytes, members: Sequence[tuple[bytes, int]]) -> None:
        """An epoch began (C4)."""
        self._roots[epoch], self._members[epoch] = root_id, members

    def known(self, certificate: tuple[Any, ...]) -> str | None:
        """The verdict if this one was judged before: "" for a good one, else what is wrong with it."""
        return self._verdicts.get(certificate)

    def judge(self, certificate: tuple[Any, ...]) -> str:
        """The verdict; a QC has 8 fields, a header certificate 7, a TC 5."""
        of = {8: self._quorum, 7: self._header, 5: self._timeout}
        verdict = self._verdicts[certificate] = of[len(certificate)](*certificate)
        if len(self._verdicts) > REMEMBERED_MAX:
            del self._verdicts[next(iter(self._verdicts))]
        return verdict

    def is_vote(self, vote: tuple[Any, ...]) -> bool:
        """Whether `[epoch, round, block, parent, parent round, commit, author, signature]` is signed."""
        author, signature = vote[6:]
        members = self._members.get(vote[0], ())
        is_member = 0 <= author < len(members)
        return is_member and self._verify(members[author][0], self._digest("vote", vote[:6]), signature)

    def _quorum(self, *qc: Any) -> str:
        epoch, round, _, parent, parent_round, commit, signers, signatures = qc
        if round == 0:
            root_id = self._roots.get(epoch)
            root = (epoch, 0, root_id, root_id, 0, None, b"", b"")
            return "" if qc == root else "not the root of agreement"
        if parent_round >= round or commit != (parent if parent_round + 1 == round else None):
            return f"round {round} after {parent_round} commits {commit!r}"
        return self._signed(epoch, signers, [self._digest("vote", qc[:6])], signatures)

    def _timeout(self, *tc: Any) -> str:
        epoch, round, signers, highest, signatures = tc
        if any(hqc_round >= round for hqc_round in highest) or len(highest) * 64 != len(signatures):
            return f"highest rounds {highest} in a TC of round {round}"
        messages = [self._digest("timeout", (epoch, round, hqc_round)) for hqc_round in highest]
        return self._signed(epoch, signers, messages, signatures)

    def _header(self, *certificate: Any) -> str:
        *claim, signers, signatures = certificate
        return self._signed(claim[1], signers, [self._digest("header-signature", claim)], signatures)

    def _digest(self, what: str, fields: Sequence[Any]) -> bytes:
        tag = f"isthmus/{what}/v1".encode()
        return sha256(bytes((len(tag),)) + tag + msgpack.packb((self._cluster_id, *fields))).digest()

    def _signed(self, epoch: int, signers: bytes, messages: Sequence[bytes], signatures: bytes) -> str:
        """One message for all signers, or one for each, in the order of the members."""
        members, bits = self._members.get(epoch, ()), int.from_bytes(signers, "little")
        if not members or len(signers) != (len(members) + 7) // 8 or bits >> len(members):
            return f"signers {signers.hex()} of {len(members)} in epoch {epoch}"
        chosen = [member for index, member in enumerate(members) if bits >> index & 1]
        if 3 * sum(weight for _, weight in chosen) <= 2 * sum(weight for _, weight in members):
            return f"signers {signers.hex()} are no quorum"
        if len(signatures) != 64 * len(chosen) or len(messages) not in (1, len(chosen)):
            return f"{len(messages)} messages and {len(signatures)} bytes signed by {len(chosen)}"
        for place, (key, _) in enumerate(chosen):
            message = messages[place % len(messages)]
            if not self._verify(key, message, signatures[64 * place : 64 * place + 64]):
                return f"signature {place} is wrong"
        return ""
