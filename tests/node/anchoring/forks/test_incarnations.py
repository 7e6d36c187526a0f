"""Bundles of recovered clusters: the recovery, given with its evidence, is judged as by a light client."""

from dataclasses import replace
from pathlib import Path

import pytest

from consensus import CodecError, SignatureCache, encode
from node.anchoring import Bundle, CertifiedLater, HeaderStatement, Verified, check_evidence, verify
from node.anchoring.forks.evidence import EvidenceFile, ForkEvidence, ForkKind, Statement
from node.anchoring.forks.incarnations import RecoveryFile, footing_of
from node.anchoring.forks.recovery import RecoveredBy, RecoveryCertificate
from node.anchoring.refusals import Code, Refused
from node.cli.main import run
from node.proofs import ProofError
from tests.node.anchoring.chains import Chain, changed, keys
from tests.node.anchoring.forks.test_evidence import found

NEW = keys("harbour", first=10)
NEW_OPERATORS = keys("harbour/operator", first=10)


def forked_island() -> tuple[Chain, Chain, RecoveryFile]:
    """All four validators forked above header 6; the operators recovered header 7 of the first branch."""
    chain = Chain().grow(3, next_set=keys("harbour", first=1)).grow(5)
    other = chain.fork(6).grow(3, salt="b")
    guilty = chain.sets[1]
    chain.accusations = ([key.public_key for key in guilty.keys], guilty.set(1))
    recovery = chain.recovery(7, NEW, NEW_OPERATORS, (0, 1, 2), RecoveredBy.OPERATORS, with_links=True)
    both = ForkEvidence(
        ForkKind.TWO_HEADERS,
        8,
        chain.links(),
        Statement(chain.certified(8, (0, 1, 2, 3))),
        Statement(other.certified(8, (0, 1, 2, 3))),
    )
    after = chain.recovered(7, NEW, NEW_OPERATORS).grow(2, next_set=keys("harbour", first=20)).grow(3)
    return after, other, RecoveryFile(recovery, (both,))


ISLAND, DROPPED, FILE = forked_island()


def bundle(height: int, certified: int, chain: Chain = ISLAND) -> Bundle:
    top = chain.certified(certified)
    later = None
    if certified != height:
        later = CertifiedLater(top.header.encoded, chain.path(height, certified))
    header = chain.headers[height].encoded
    links = chain.links(until=top.header.epoch)
    return Bundle(chain.body, header, top.certificate, later, None, HeaderStatement(), links)


def checked(made: Bundle, *files: RecoveryFile) -> Verified:
    return verify(made.encode(), trust=ISLAND.cluster_id, recoveries=[file.encode() for file in files])


def refusal(made: Bundle, *files: RecoveryFile) -> str:
    with pytest.raises(ProofError) as caught:
        checked(made, *files)
    return str(caught.value)


@pytest.mark.parametrize(
    ("height", "certified"), [(8, 8), (9, 9), (12, 12), (8, 12), (7, 8), (2, 12), (5, 9)]
)
def test_facts_of_the_later_incarnation_and_of_before_verify_with_the_recovery(
    height: int, certified: int
) -> None:
    verified = checked(bundle(height, certified), FILE)
    assert verified.header == ISLAND.headers[height]
    assert any("Incarnation 1 begins above header 7" in fact for fact in verified.facts)
    assert verified.not_checked[0].startswith("Recovery: ")


def test_without_its_recovery_or_with_that_of_nobody_a_later_incarnation_proves_nothing() -> None:
    made = bundle(12, 12)
    assert refusal(made).startswith("header: header 12 is of incarnation 1")
    assert refusal(made, FILE, FILE).startswith("recovery: ")
    assert refusal(made, replace(FILE, evidence=())).startswith("recovery: ")
    thief = keys("thief")
    stolen = replace(FILE.recovery, validators=thief.set(2))
    assert refusal(made, replace(FILE, recovery=stolen)).startswith("recovery: ")
    unsigned = RecoveryCertificate.proposed(
        FILE.recovery.base, thief.members, thief.members, RecoveredBy.OPERATORS, FILE.recovery.links
    )
    assert refusal(made, replace(FILE, recovery=unsigned)).startswith("recovery: ")
    assert refusal(bundle(5, 5), FILE).startswith("header: header 5 is of incarnation 0")


def test_what_the_recovery_dropped_is_in_no_history_any_more() -> None:
    dropped = replace(bundle(8, 12), header=DROPPED.headers[8].encoded)
    assert refusal(dropped, FILE).startswith("header: header 8 is of incarnation 0")
    beside = replace(bundle(7, 12), header=DROPPED.headers[7].encoded)
    assert refusal(beside, FILE).startswith("history path: ")


def test_a_header_of_the_later_incarnation_lies_above_its_base() -> None:
    low = changed(ISLAND.headers[5], incarnation=1, epoch=2, validators_hash=ISLAND.sets[2].set(2).hash())
    made = replace(bundle(5, 12), header=low.encoded)
    assert "before its epoch 2 began" in refusal(made, FILE)
    early = replace(bundle(8, 12), header=changed(ISLAND.headers[8], epoch=1).encoded)
    assert "begins in epoch 2" in refusal(early, FILE)


def test_a_second_recovery_stands_on_the_first() -> None:
    newest = keys("harbour", first=30)
    second = ISLAND.recovery(12, newest, NEW_OPERATORS, (0, 1, 2), with_links=True)
    after = ISLAND.recovered(12, newest, NEW_OPERATORS).grow(2)
    files = (FILE, RecoveryFile(second))
    assert checked(bundle(14, 14, after), *files).height == 14
    assert refusal(bundle(14, 14, after), *reversed(files)).startswith("recovery: ")
    assert footing_of(ISLAND.identity, files, SignatureCache()).incarnation == 2
    low = ISLAND.recovery(12, newest, NEW_OPERATORS, (0, 1, 2), with_links=True)
    sunk = changed(ISLAND.headers[12], height=6)
    wrong = replace(low, base=replace(low.base, header=sunk))
    with pytest.raises(Refused) as caught:
        footing_of(ISLAND.identity, (FILE, RecoveryFile(wrong)), SignatureCache())
    assert caught.value.code is Code.RECOVERY_BASE


def test_evidence_of_a_later_incarnation_is_checked_with_its_recovery() -> None:
    fork = ISLAND.fork(11).grow(1, salt="b")
    file = EvidenceFile(ISLAND.body, found(ISLAND, fork)).encode()
    trust = ISLAND.cluster_id
    _, _, verdict = check_evidence(file, trust, [FILE.encode()])
    assert (verdict.epoch, verdict.index) == (3, 12)
    with pytest.raises(ProofError, match=r"^evidence: "):
        check_evidence(file, trust)
    data, given = bundle(12, 12).encode(), [FILE.encode()]
    with pytest.raises(ProofError, match="signed two histories"):
        verify(data, trust=trust, recoveries=given, evidence=[file])


def test_a_recovery_file_is_read_back_as_it_was_written_and_nothing_else_is() -> None:
    data = FILE.encode()
    assert RecoveryFile.decode(data) == FILE
    many = encode(("isthmus-recovery/1", FILE.recovery.to_value(), (FILE.evidence[0].to_value(),) * 17))
    for wrong in (b"", data[:-1], data + b"\xc0", encode(()), encode(("isthmus-recovery/1", 1, ())), many):
        with pytest.raises(CodecError):
            RecoveryFile.decode(wrong)


def test_the_command_reads_recoveries_from_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = {name: tmp_path / name for name in ("bundle", "recovery", "evidence")}
    places["bundle"].write_bytes(bundle(12, 12).encode())
    places["recovery"].write_bytes(FILE.encode())
    fork = ISLAND.fork(11).grow(1, salt="b")
    places["evidence"].write_bytes(EvidenceFile(ISLAND.body, found(ISLAND, fork)).encode())
    given = ["--trust", ISLAND.cluster_id.hex(), "--recovery", str(places["recovery"])]
    assert run(["verify", str(places["bundle"]), *given]) == 0
    assert "Recovery: whether the other clusters approved" in capsys.readouterr().out
    assert run(["verify", str(places["bundle"]), *given[:2]]) == 1
    assert run(["evidence", "check", str(places["evidence"]), *given]) == 0
    assert run(["evidence", "check", str(places["evidence"]), *given[:2]]) == 1
