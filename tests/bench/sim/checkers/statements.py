"""Hand-made statements of a cluster of four: as arrays and bytes, so that every way of being wrong can be
written down."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgpack
import pytest

from bench.sim.checkers.certificates import Certificates
from bench.sim.checkers.headers import root_of
from bench.sim.checkers.reading import BlockReader, SeenBlock, tagged
from bench.sim.keyedhash import KEYED_HASH
from bench.sim.setting import make_setting
from bench.sim.violation import Violation

SETTING = make_setting(4, KEYED_HASH)
CLUSTER = SETTING.genesis.cluster_id
GENESIS_HEADER = SETTING.genesis.genesis_header().encoded
ROOT = root_of(CLUSTER, GENESIS_HEADER)
MEMBERS = [(validator.consensus_key, validator.weight) for validator in SETTING.genesis.validators]
ROOT_QC = (0, 0, ROOT, ROOT, 0, None, b"", b"")

Fields = tuple[Any, ...]


def caught(invariant: str, act: Callable[[], object]) -> str:
    """The words of the violation that `act` must raise."""
    with pytest.raises(Violation) as raised:
        act()
    assert raised.value.invariant == invariant
    return raised.value.words


def name(word: str) -> bytes:
    """A digest."""
    return sha256(word.encode()).digest()


def pack(value: object) -> bytes:
    """Canonical bytes."""
    packed: bytes = msgpack.packb(value)
    return packed


def signature(index: int, what: str, fields: Fields) -> bytes:
    """Validator `index` signs."""
    return SETTING.validators[index].sign(tagged(f"isthmus/{what}/v1", pack((CLUSTER, *fields))))  # type: ignore[arg-type]  # a digest


def bitmap(signers: tuple[int, ...]) -> bytes:
    """Four validators fit one byte."""
    return bytes((sum(1 << index for index in signers),))


def qc_of(
    round: int, block: bytes, parent: bytes, parent_round: int, signers: tuple[int, ...] = (0, 1, 2)
) -> Fields:
    """A QC as these signers make it."""
    claim = (0, round, block, parent, parent_round, parent if parent_round + 1 == round else None)
    return (*claim, bitmap(signers), b"".join(signature(index, "vote", claim) for index in signers))


def tc_of(round: int, highest: tuple[int, ...], signers: tuple[int, ...] = (0, 1, 2)) -> Fields:
    """A TC of these signers' highest rounds."""
    signed = [signature(i, "timeout", (0, round, hqc)) for i, hqc in zip(signers, highest, strict=True)]
    return (0, round, bitmap(signers), highest, b"".join(signed))


def certificate_of(height: int, block: bytes, header: bytes, signers: tuple[int, ...] = (0, 1, 2)) -> Fields:
    """A header certificate."""
    claim = (0, 0, height, block, header)
    return (
        *claim,
        bitmap(signers),
        b"".join(signature(index, "header-signature", claim) for index in signers),
    )


def vote_of(author: int, round: int, block: bytes, parent: bytes = ROOT, parent_round: int = 0) -> Fields:
    """A vote."""
    claim = (0, round, block, parent, parent_round, parent if parent_round + 1 == round else None)
    return (*claim, author, signature(author, "vote", claim))


def timeout_of(author: int, round: int, hqc: Fields = ROOT_QC, tc: Fields | None = None) -> Fields:
    """A timeout for want of a proposal."""
    return (0, round, hqc, tc, 1, None, author, signature(author, "timeout", (0, round, hqc[1])))


def header_signature_of(author: int, height: int, block: bytes, header: bytes) -> Fields:
    """A header signature."""
    claim = (0, 0, height, block, header)
    return (*claim, author, signature(author, "header-signature", claim))


@dataclass(frozen=True)
class Made:
    """A block with its bytes."""

    data: bytes
    seen: SeenBlock

    @property
    def id(self) -> bytes:
        return self.seen.id

    def qc(self, signers: tuple[int, ...] = (0, 1, 2)) -> Fields:
        """A QC on it."""
        return qc_of(self.seen.round, self.id, self.seen.parent_id, self.seen.parent_round, signers)


def block_of(
    round: int,
    qc: Fields = ROOT_QC,
    tc: Fields | None = None,
    *,
    author: int = 0,
    payload: bytes = b"",
    time_ms: int = 1,
    certified: Fields | None = None,
    standing: Fields = (),
) -> Made:
    """A block."""
    data = pack((2, CLUSTER, 0, round, qc, tc, certified, payload, author, time_ms, standing))
    return Made(data, BlockReader().read(data))


def chain_of(*rounds: int, payload_at: tuple[int, ...] = ()) -> list[Made]:
    """Blocks of these rounds, each the parent of the next, with a payload at some."""
    made: list[Made] = []
    for round in rounds:
        qc = made[-1].qc() if made else ROOT_QC
        tc = None if qc[1] + 1 == round else tc_of(round - 1, (qc[1],) * 3)
        payload = b"\x01" if round in payload_at else b""
        made.append(block_of(round, qc, tc, author=round % 4, payload=payload))
    return made


def certificates() -> Certificates:
    """A verifier for these validators."""
    return Certificates(CLUSTER, ROOT, MEMBERS, KEYED_HASH)
