"""The table of outcomes is closed and its numbers never move: receipts carry them for ever."""

from pathlib import Path

from node.ledger import codes
from node.ledger.codes import Code, RejectedTransaction, explain

NUMBERS = {
    "OK": 0,
    "MALFORMED": 1,
    "NON_CANONICAL": 2,
    "OVERSIZED": 3,
    "OVER_NESTED": 4,
    "BAD_VERSION": 5,
    "WRONG_CLUSTER": 6,
    "BAD_SIGNATURE": 7,
    "EXPIRED": 8,
    "REPLAYED": 9,
    "POOL_FULL": 10,
    "QUOTA_EXCEEDED": 11,
    "NOT_READY": 12,
    "RATE_LIMITED": 13,
    "EXPIRY_TOO_FAR": 100,
    "UNKNOWN_SENDER": 101,
    "UNKNOWN_APP": 102,
    "UNKNOWN_METHOD": 103,
    "INVALID_ARGUMENTS": 104,
    "NOT_AUTHORISED": 105,
    "FORBIDDEN": 106,
    "APPROVALS_NEEDED": 107,
    "TOO_MANY_WRITES": 108,
    "RECORD_EXISTS": 200,
    "RECORD_UNKNOWN": 201,
    "NOT_OWNER": 202,
    "WRONG_PREVIOUS": 203,
    "NOT_OPERATOR": 300,
    "PROPOSAL_UNKNOWN": 301,
    "PROPOSAL_EXPIRED": 302,
    "PROPOSAL_EXECUTED": 303,
    "ALREADY_APPROVED": 304,
    "TOO_MANY_PROPOSALS": 305,
    "NOT_PROPOSER": 306,
    "SET_REFUSED": 307,
    "CHANGE_TOO_LARGE": 308,
    "VALIDATOR_UNKNOWN": 309,
    "KEY_IN_USE": 310,
    "NO_CHANGE": 311,
    "MEMBER_UNKNOWN": 312,
    "NOT_JOINING": 313,
    "NOT_SYNCED": 314,
    "BAD_PROOF": 315,
    "NOT_DUE": 316,
    "TOO_MANY_MEMBERS": 317,
    "GENESIS_REFUSED": 400,
    "CLUSTER_UNKNOWN": 401,
    "CLUSTER_KNOWN": 402,
    "NAME_TAKEN": 403,
    "NOT_COURIER": 404,
    "NOTHING_NEW": 405,
    "HEADER_REFUSED": 406,
    "LINK_REFUSED": 407,
    "NOT_CONSISTENT": 408,
    "NEEDS_CORROBORATION": 409,
    "PROOF_REFUSED": 410,
    "CLUSTER_NOT_ACTIVE": 411,
    "EVIDENCE_REFUSED": 412,
    "RECOVERY_REFUSED": 413,
    "RECOVERY_NOT_APPROVED": 414,
    "LANE_REFUSED": 415,
    "LANE_FORBIDDEN": 416,
    "LANE_FULL": 417,
    "DEADLINE_REFUSED": 418,
    "LANE_WAITS": 419,
    "QUOTA_USED": 420,
    "CLUSTERS_FULL": 421,
}


def test_numbers_and_names_are_fixed() -> None:
    present = {code.name: int(code) for code in Code}
    assert {name: present.get(name) for name in NUMBERS} == NUMBERS


def test_every_code_has_a_sentence_and_a_label() -> None:
    for code in Code:
        assert code.sentence == codes.SENTENCES[code]
        assert code == Code.OK or ";" in code.sentence, "a sentence names the way out"
        assert code.label == code.label.lower().replace("_", "-")


def test_a_rejection_reads_as_finding_and_way_out() -> None:
    text = str(RejectedTransaction(Code.OVERSIZED, "9 bytes exceed the limit of 8"))
    assert text == f"9 bytes exceed the limit of 8: {Code.OVERSIZED.sentence}"
    assert str(RejectedTransaction(Code.FORBIDDEN, "")) == Code.FORBIDDEN.sentence


def test_a_status_of_newer_software_is_still_explained() -> None:
    assert "status 999" in explain(999, "")


def test_no_detail_depends_on_the_unicode_tables_of_a_python() -> None:
    """`repr` of text escapes by tables that differ between Pythons, and details are hashed."""
    room = Path(codes.__file__).parent
    for path in sorted(room.rglob("*.py")):
        source = path.read_text()
        assert "!r" not in source.replace("`!r`", ""), path.name
        assert "repr(" not in source.replace("__repr__(", ""), path.name
