"""The second verifier agrees with the first on what is good, and knows each way of being false."""

import pytest

from bench.sim.checkers.certificates import REMEMBERED_MAX
from bench.sim.keyedhash import KEYED_HASH
from consensus import HeaderCertificate, QuorumCertificate, SignatureCache, TimeoutCertificate
from tests.bench.sim.checkers.statements import (
    CLUSTER,
    MEMBERS,
    ROOT,
    ROOT_QC,
    SETTING,
    Fields,
    certificate_of,
    certificates,
    name,
    qc_of,
    tc_of,
    vote_of,
)

A, B, C = name("a"), name("b"), name("c")
QC = qc_of(2, B, A, 1)
TC = tc_of(4, (1, 2, 3))
HEADER = certificate_of(7, B, C)


def test_good_ones_pass_here_and_with_the_product() -> None:
    checker, cache = certificates(), SignatureCache(scheme=KEYED_HASH)
    validators = SETTING.genesis.validator_set()
    for good in (ROOT_QC, QC, qc_of(5, C, A, 1), qc_of(2, B, A, 1, (0, 1, 2, 3)), TC, HEADER):
        assert checker.judge(good) == ""
        assert checker.known(good) == ""
    QuorumCertificate.from_value(QC).verify(CLUSTER, validators, cache, ROOT)
    TimeoutCertificate.from_value(TC).verify(CLUSTER, validators, cache)
    HeaderCertificate.from_value(HEADER).verify(CLUSTER, validators, cache)


def changed(fields: Fields, place: int, value: object) -> Fields:
    return (*fields[:place], value, *fields[place + 1 :])


@pytest.mark.parametrize(
    "false",
    [
        changed(ROOT_QC, 2, A),
        changed(QC, 0, 1),
        changed(QC, 1, 3),
        changed(QC, 2, C),
        changed(QC, 3, C),
        changed(QC, 4, 0),
        changed(QC, 4, 2),
        changed(QC, 5, None),
        changed(QC, 6, b"\x03"),
        changed(QC, 6, b"\x0b"),
        changed(QC, 6, b"\x17"),
        changed(QC, 6, b"\x07\x00"),
        changed(QC, 6, b""),
        changed(QC, 7, QC[7][:-1] + bytes((QC[7][-1] ^ 1,))),
        changed(QC, 7, QC[7][:128]),
        changed(QC, 7, QC[7] + bytes(64)),
        qc_of(2, B, A, 1, (0, 1)),
        changed(TC, 1, 5),
        changed(TC, 1, 3),
        changed(TC, 3, (1, 1, 3)),
        changed(TC, 3, (1, 2)),
        changed(TC, 3, (1, 2, 3, 3)),
        tc_of(4, (1, 2), (0, 1)),
        changed(HEADER, 0, 1),
        changed(HEADER, 1, 1),
        changed(HEADER, 2, 8),
        changed(HEADER, 3, A),
        changed(HEADER, 4, A),
        certificate_of(7, B, C, (1, 3)),
    ],
)
def test_false_ones_are_known(false: Fields) -> None:
    checker = certificates()
    assert checker.judge(false) != ""
    assert checker.known(false) != ""


def test_signers_count_by_weight_and_not_by_number() -> None:
    checker = certificates()
    members = [(key, weight) for (key, _), weight in zip(MEMBERS, (1, 1, 1, 9), strict=True)]
    checker.begin(0, ROOT, members)
    assert "no quorum" in checker.judge(qc_of(2, B, A, 1, (0, 1, 2)))
    assert checker.judge(qc_of(2, B, A, 1, (3,))) == ""


def test_verdicts_are_remembered_within_a_bound() -> None:
    checker = certificates()
    assert checker.known(QC) is None
    checker.judge(QC)
    for epoch in range(1, REMEMBERED_MAX + 1):
        checker.judge(changed(QC, 0, epoch))
    assert checker.known(QC) is None
    assert len(checker._verdicts) == REMEMBERED_MAX


def test_a_vote_is_its_authors_or_none() -> None:
    checker = certificates()
    vote = vote_of(1, 2, B, A, 1)
    assert checker.is_vote(vote)
    for place, value in ((0, 1), (1, 3), (2, C), (6, 2), (6, 9), (7, bytes(64))):
        assert not checker.is_vote(changed(vote, place, value))
