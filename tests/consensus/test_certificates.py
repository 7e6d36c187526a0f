"""What a certificate must be to be believed: every way to forge one is refused, by name."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from consensus import (
    Digest,
    Epoch,
    HeaderCertificate,
    InvalidCertificate,
    QuorumCertificate,
    Round,
    SignatureCache,
    TimeoutCertificate,
    ValidatorSet,
    bitmap_of,
)
from tests.consensus.cluster import CLUSTER_ID, ROOT, keys_of, validators_of
from tests.consensus.forge import VALIDATORS, block, certify, chain, give_up, header_certificate

BLOCK = chain(2)[1]
QC = certify(BLOCK)
TC = give_up(4, (1, 0, 2))


def check_qc(
    qc: QuorumCertificate, cluster_id: bytes = CLUSTER_ID, members: ValidatorSet = VALIDATORS
) -> None:
    qc.verify(cluster_id, members, SignatureCache(), ROOT.block_id)


def check_tc(tc: TimeoutCertificate) -> None:
    tc.verify(CLUSTER_ID, VALIDATORS, SignatureCache())


def test_good_certificates_are_believed() -> None:
    check_qc(QC)
    check_qc(ROOT)
    check_tc(TC)
    header_certificate(3, BLOCK.id).verify(CLUSTER_ID, VALIDATORS, SignatureCache())


Forge = Callable[[QuorumCertificate], QuorumCertificate]
FORGED: dict[str, Forge] = {
    "qc-weight": lambda qc: certify(BLOCK, (0, 1)),
    "qc-signer": lambda qc: replace(qc, signers=bytes((0b10000011,))),
    "qc-bitmap": lambda qc: replace(qc, signers=qc.signers + b"\0"),
    "qc-count": lambda qc: replace(qc, signers=bitmap_of((0, 1, 2, 3), 4)),
    "qc-signature": lambda qc: replace(qc, signatures=qc.signatures[:-1] + b"\0"),
    "qc-shape": lambda qc: replace(qc, commit_id=None),
    "qc-commit": lambda qc: replace(qc, commit_id=Digest(bytes(32))),
    "cert-epoch": lambda qc: replace(qc, epoch=Epoch(1)),
    "qc-root": lambda qc: replace(ROOT, block_id=Digest(bytes(32))),
}


@pytest.mark.parametrize("code", FORGED)
def test_a_forged_quorum_certificate_is_refused(code: str) -> None:
    with pytest.raises(InvalidCertificate) as caught:
        check_qc(FORGED[code](QC))
    assert caught.value.code == code


def test_one_junk_signature_among_more_than_enough_is_refused() -> None:  # C6
    everybody = certify(BLOCK, (0, 1, 2, 3))
    check_qc(everybody)
    with pytest.raises(InvalidCertificate):
        check_qc(replace(everybody, signatures=everybody.signatures[:192] + bytes(64)))


def test_a_signer_cannot_count_twice() -> None:
    """Repeating signatures needs repeated signers, which a bitmap cannot say."""
    two = certify(BLOCK, (0, 1))
    with pytest.raises(InvalidCertificate):
        check_qc(replace(two, signatures=two.signatures + two.signatures[:64]))
    with pytest.raises(InvalidCertificate):
        check_qc(
            replace(two, signers=bitmap_of((0, 1, 2), 4), signatures=two.signatures + two.signatures[:64])
        )


def test_signatures_of_another_cluster_or_another_round_are_refused() -> None:
    with pytest.raises(InvalidCertificate):
        check_qc(QC, cluster_id=bytes(32))
    with pytest.raises(InvalidCertificate):
        check_qc(replace(QC, round=Round(3), commit_id=None))


def test_signatures_for_one_purpose_do_not_serve_another() -> None:
    header = header_certificate(2, BLOCK.id)
    with pytest.raises(InvalidCertificate):
        check_qc(replace(QC, signatures=header.signatures))


def test_a_quorum_is_weight_and_not_heads() -> None:
    members = validators_of(keys_of(4), [10, 1, 1, 1])
    with pytest.raises(InvalidCertificate):
        check_qc(certify(BLOCK, (1, 2, 3)), members=members)
    check_qc(certify(BLOCK, (0,)), members=members)


def test_a_timeout_certificate_binds_each_signer_to_its_own_round() -> None:
    with pytest.raises(InvalidCertificate):
        check_tc(replace(TC, hqc_rounds=(Round(0), Round(1), Round(2))))
    with pytest.raises(InvalidCertificate):
        check_tc(replace(TC, hqc_rounds=(Round(1), Round(0), Round(1))))


def test_a_timeout_certificate_cannot_report_its_own_round() -> None:
    with pytest.raises(InvalidCertificate) as caught:
        check_tc(give_up(4, (1, 0, 4)))
    assert caught.value.code == "tc-hqc"


def test_a_timeout_certificate_needs_a_quorum_and_one_round_each() -> None:
    with pytest.raises(InvalidCertificate):
        check_tc(give_up(4, (1, 0)))
    with pytest.raises(InvalidCertificate) as caught:
        check_tc(replace(TC, hqc_rounds=TC.hqc_rounds[:2]))
    assert caught.value.code == "tc-shape"


HEADER = header_certificate(3, BLOCK.id)
JUNK = bytes(64)
FORGED_OTHERS: dict[str, Callable[[], None]] = {
    "tc-weight": lambda: check_tc(give_up(4, (1, 0))),
    "tc-signer": lambda: check_tc(replace(TC, signers=bytes((0b10000011,)))),
    "tc-bitmap": lambda: check_tc(replace(TC, signers=TC.signers + b"\0")),
    "tc-count": lambda: check_tc(replace(TC, signers=bitmap_of((0, 1), 4))),
    "tc-signature": lambda: check_tc(replace(TC, signatures=TC.signatures[:-64] + JUNK)),
    "cert-epoch": lambda: check_tc(replace(TC, epoch=Epoch(1))),
    "header-weight": lambda: check_header(header_certificate(3, BLOCK.id, signers=(0, 1))),
    "header-signer": lambda: check_header(replace(HEADER, signers=bytes((0b10000011,)))),
    "header-bitmap": lambda: check_header(replace(HEADER, signers=HEADER.signers + b"\0")),
    "header-count": lambda: check_header(replace(HEADER, signers=bitmap_of((0, 1, 2, 3), 4))),
    "header-signature": lambda: check_header(replace(HEADER, signatures=HEADER.signatures[:-64] + JUNK)),
}


def check_header(certificate: HeaderCertificate) -> None:
    certificate.verify(CLUSTER_ID, VALIDATORS, SignatureCache())


@pytest.mark.parametrize("code", FORGED_OTHERS)
def test_a_forged_timeout_or_header_certificate_is_refused(code: str) -> None:
    with pytest.raises(InvalidCertificate) as caught:
        FORGED_OTHERS[code]()
    assert caught.value.code == code


def test_a_header_certificate_of_another_epoch_is_refused() -> None:
    with pytest.raises(InvalidCertificate) as caught:
        check_header(replace(HEADER, epoch=Epoch(1)))
    assert caught.value.code == "cert-epoch"


def test_a_header_certificate_names_its_incarnation() -> None:  # C3
    with pytest.raises(InvalidCertificate):
        replace(header_certificate(3, BLOCK.id), incarnation=1).verify(
            CLUSTER_ID, VALIDATORS, SignatureCache()
        )


def test_the_cache_never_answers_for_another_message() -> None:
    """A cache keyed by signatures alone would believe any message with a known signature."""
    cache = SignatureCache()
    QC.verify(CLUSTER_ID, VALIDATORS, cache, ROOT.block_id)
    other = block(2, BLOCK.qc, payload=b"other")
    with pytest.raises(InvalidCertificate):
        replace(QC, block_id=other.id).verify(CLUSTER_ID, VALIDATORS, cache, ROOT.block_id)
    misses = cache.misses
    QC.verify(CLUSTER_ID, VALIDATORS, cache, ROOT.block_id)
    assert cache.misses == misses
