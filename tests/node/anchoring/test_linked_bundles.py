"""Bundles of later epochs: links lead from the genesis to those who certified, and evidence counts."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from consensus import Digest, digest, encode
from node.anchoring import (
    Bundle,
    CertifiedLater,
    CheckpointProof,
    HeaderStatement,
    TransactionStatement,
    Verified,
    check_evidence,
    verify,
)
from node.anchoring.cluster.epochs import LinksFile
from node.anchoring.forks.evidence import EvidenceFile
from node.cli.main import run
from node.proofs import ProofError
from tests.node.anchoring import independent_verifier
from tests.node.anchoring.chains import Chain, certify, changed, keys
from tests.node.anchoring.forks.test_evidence import found


def three_epochs() -> Chain:
    """Headers 0-4 in epoch 0, 5-8 in epoch 1, 9-15 in epoch 2."""
    chain = Chain().grow(4, next_set=keys("harbour", (1, 1, 2, 1, 1), first=2))
    return chain.grow(4, next_set=keys("harbour", (1,) * 7, first=5)).grow(7)


CHAIN = three_epochs()


def bundle(height: int, certified: int, chain: Chain = CHAIN) -> Bundle:
    """Header `height`, proven by the certificate of header `certified`, with all links."""
    top = chain.certified(certified)
    later = None
    if certified != height:
        later = CertifiedLater(top.header.encoded, chain.path(height, certified))
    return Bundle(
        chain.body,
        chain.headers[height].encoded,
        top.certificate,
        later,
        None,
        HeaderStatement(),
        chain.links(until=top.header.epoch),
    )


def checked(made: Bundle, **given: Any) -> Verified:
    return verify(made.encode(), trust=CHAIN.cluster_id, **given)


def refusal(made: Bundle, **given: Any) -> str:
    with pytest.raises(ProofError) as caught:
        checked(made, **given)
    return str(caught.value)


@pytest.mark.parametrize(("height", "certified"), [(2, 3), (4, 4), (3, 6), (8, 8), (4, 15), (9, 9), (0, 15)])
def test_both_verifiers_follow_the_links_to_whoever_certified(height: int, certified: int) -> None:
    made = bundle(height, certified)
    verified = checked(Bundle.decode(made.encode()))
    header = CHAIN.headers[height]
    assert (verified.epoch, verified.height, verified.header) == (header.epoch, height, header)
    assert independent_verifier.verify(made.encode(), CHAIN.cluster_id)[:2] == (3, height)
    top = CHAIN.headers[certified].epoch
    sentence = f"The validators of epoch {top} follow from the genesis by {top} epoch links."
    assert (sentence in verified.facts) == (top > 0)
    keys_left_open = verified.not_checked[-1]
    assert ("genesis keys" if top == 0 else f"keys of the epochs 0 to {top}") in keys_left_open


def test_links_may_come_as_a_file_of_their_own_that_reaches_further() -> None:
    bare = replace(bundle(6, 7), links=())
    file = CHAIN.links_file().encode()
    assert checked(bare, links=file).epoch == 1
    assert checked(bundle(6, 7), links=file).epoch == 1
    assert checked(replace(bundle(2, 3), links=()), links=file).epoch == 0
    assert refusal(bare).startswith("certified header: ")
    short = LinksFile(CHAIN.cluster_id, CHAIN.links(until=1)).encode()
    assert "lead from epoch 0 to epoch 1" in refusal(replace(bundle(9, 9), links=()), links=short)
    elsewhere = LinksFile(Digest(bytes(32)), ()).encode()
    assert refusal(bare, links=elsewhere).startswith("links file: it is of cluster")
    assert refusal(bare, links=b"\x93").startswith("links file: ")


def test_links_that_skip_repeat_reorder_or_exceed_are_refused() -> None:
    made = bundle(9, 9)
    first, second = made.links
    for links, step in (
        ((second, first), "epoch links"),
        ((first, first), "epoch links"),
        ((first,), "header"),
        ((first, second, second), "epoch links"),
        ((), "header"),
    ):
        wrong = replace(made, links=links)
        assert refusal(wrong).startswith(f"{step}: ")
        with pytest.raises(independent_verifier.Refused):
            independent_verifier.verify(wrong.encode(), CHAIN.cluster_id)


def test_a_link_is_worth_its_certificate_and_names_its_members() -> None:
    made = bundle(9, 9)
    first, second = made.links
    stranger = keys("stranger", (1,) * 7)
    for wrong in (
        replace(second, ending=certify(CHAIN.headers[8], CHAIN.sets[0])),
        replace(second, ending=certify(CHAIN.headers[8], CHAIN.sets[1], (0, 1))),
        replace(second, validators=stranger.members),
        replace(second, ending=CHAIN.certified(7)),
    ):
        forged = replace(made, links=(first, wrong))
        assert refusal(forged).startswith("epoch links: ")
        with pytest.raises(independent_verifier.Refused):
            independent_verifier.verify(forged.encode(), CHAIN.cluster_id)


def test_a_header_stands_inside_its_epoch() -> None:
    links = CHAIN.links()
    for height, epoch, word in ((3, 1, "before"), (4, 1, "before"), (5, 0, "behind"), (9, 1, "behind")):
        forged = changed(
            CHAIN.headers[height], epoch=epoch, validators_hash=CHAIN.sets[epoch].set(epoch).hash()
        )
        made = replace(bundle(height, 15), header=forged.encoded, links=links)
        assert f"header: header {height} lies {word}" in refusal(made)
    future = replace(bundle(3, 4), header=CHAIN.headers[9].encoded)
    assert "certified is epoch 0" in refusal(future)


def test_a_history_path_for_the_certified_height_itself_is_refused() -> None:
    made = replace(bundle(9, 9), certified_later=CertifiedLater(CHAIN.headers[9].encoded, ()))
    assert refusal(made).startswith("history path: ")


def test_another_incarnation_needs_more_than_links() -> None:
    after = CHAIN.recovered(15, keys("harbour", first=30), keys("harbour/operator", first=30)).grow(2)
    made = replace(
        bundle(9, 9), header=after.headers[16].encoded, certificate=after.certified(16).certificate
    )
    assert "incarnation 1, the recoveries that were given lead to 0" in refusal(made)
    raised = certify(changed(CHAIN.headers[9], incarnation=1), CHAIN.sets[2])
    made = replace(bundle(9, 9), header=raised.header.encoded, certificate=raised.certificate)
    assert refusal(made).startswith("header: header 9 is of incarnation 1")


# --- evidence ----------------------------------------------------------------------------------------


def evidence_of(epoch: int) -> bytes:
    """Somebody forked this epoch of the chain."""
    cut = {0: 2, 1: 6, 2: 10}[epoch]
    return EvidenceFile(CHAIN.body, found(CHAIN, CHAIN.fork(cut).grow(3, salt="b"))).encode()


def test_a_bundle_that_rests_on_convicted_validators_is_refused() -> None:
    for epoch in (0, 1):
        for made in (bundle(5, 7), bundle(9, 9), bundle(2, 15)):
            assert "signed two histories" in refusal(made, evidence=[evidence_of(epoch)])
    earlier = checked(bundle(5, 7), evidence=[evidence_of(2)])
    assert any("The evidence is true" in fact and "rests on epoch 1" in fact for fact in earlier.facts)


def test_a_fact_that_rests_on_the_pinned_header_does_not_rest_on_convicted_validators() -> None:
    pinned = (9, CHAIN.headers[9].hash)
    verified = checked(bundle(9, 9), evidence=[evidence_of(1)], checkpoint=pinned)
    assert any("rests on the pinned header" in fact for fact in verified.facts)
    proof = CheckpointProof(7, CHAIN.headers[7].hash, CHAIN.path(7, 9))
    elsewhere = replace(bundle(9, 9), checkpoint=proof)
    told = refusal(elsewhere, evidence=[evidence_of(1)], checkpoint=(7, CHAIN.headers[7].hash))
    assert told.startswith("evidence: ")


def test_evidence_that_is_false_or_of_another_cluster_is_an_error_of_whoever_gave_it() -> None:
    honest = EvidenceFile(CHAIN.body, replace(EvidenceFile.decode(evidence_of(1)).evidence, index=5))
    other = Chain("elsewhere").grow(5)
    foreign = EvidenceFile(other.body, found(other, other.fork(2).grow(3, salt="b")))
    for wrong in (honest.encode(), foreign.encode(), b"\x90", encode(())):
        assert refusal(bundle(5, 7), evidence=[wrong]).startswith("evidence: ")
    with pytest.raises(ProofError, match=r"^genesis: "):
        check_evidence(foreign.encode(), CHAIN.cluster_id)
    with pytest.raises(ProofError, match=r"^evidence: "):
        check_evidence(honest.encode(), CHAIN.cluster_id)
    with pytest.raises(ProofError, match=r"^format: "):
        check_evidence(b"\x90", CHAIN.cluster_id)
    _, _, verdict = check_evidence(evidence_of(1), CHAIN.cluster_id)
    assert (verdict.epoch, verdict.freezes) == (1, True)


# --- sizes -------------------------------------------------------------------------------------------


def test_a_bundle_without_genesis_and_links_stays_within_three_kilobytes() -> None:
    chain = Chain(weights=(1,) * 7).grow(2)
    path = (bytes(32),) * 20
    leaves = (bytes(32),) * 8
    statement = TransactionStatement(bytes(400), bytes(120), 200, 256, leaves, leaves)
    later = CertifiedLater(chain.headers[2].encoded, path)
    whole = Bundle(
        chain.body, chain.headers[1].encoded, chain.certified(2).certificate, later, None, statement
    )
    assert len(whole.encode()) - len(chain.body) <= 3 * 1024


def test_a_link_of_seven_validators_stays_within_1200_bytes() -> None:
    chain = Chain(weights=(1,) * 7).grow(2, next_set=keys("harbour", (1,) * 7, first=1))
    assert len(encode(chain.links()[0].to_value())) <= 1200


# --- the command line --------------------------------------------------------------------------------


def test_the_commands_read_links_and_evidence_from_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trust = CHAIN.cluster_id.hex()
    places = {name: tmp_path / name for name in ("bundle", "links", "evidence", "true")}
    places["bundle"].write_bytes(replace(bundle(6, 7), links=()).encode())
    places["links"].write_bytes(CHAIN.links_file().encode())
    places["evidence"].write_bytes(evidence_of(1))
    verify_it = ["verify", str(places["bundle"]), "--trust", trust]
    assert run(verify_it) == 1
    assert "the links that were given lead from epoch 0 to epoch 0" in capsys.readouterr().out
    linked = [*verify_it, "--links", str(places["links"])]
    assert run([*linked, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["verified"], answer["epoch"]) == (True, 1)
    assert run([*linked, "--evidence", str(places["evidence"])]) == 1
    assert "signed two histories" in capsys.readouterr().out


def test_evidence_check_tells_who_is_accused_and_what_it_did_not_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "evidence"
    file.write_bytes(evidence_of(1))
    command = ["evidence", "check", str(file), "--trust", CHAIN.cluster_id.hex()]
    assert run([*command, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["convicts"], answer["epoch"], answer["kind"]) == (True, 1, "beyond_the_end")
    assert len(answer["accused"]) == 4
    assert 3 * answer["weight"] > answer["total_weight"]
    assert run(command) == 0
    told = capsys.readouterr().out
    assert "NOT CHECKED" in told
    assert answer["accused"][0] in told
    assert run([*command[:-1], digest("test/other").hex()]) == 1
    assert "CONVICTS NOBODY" in capsys.readouterr().out
    assert run([*command[:-1], digest("test/other").hex(), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["convicts"] is False
