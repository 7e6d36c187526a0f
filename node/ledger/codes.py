"""Why a transaction was not done: one closed table of stable numbers, names and ways out.

The numbers are part of receipts, which are hashed into certified headers, and of the API: a number is
never reused or renumbered. 0 is success. Numbers below 100 are met at the door, before anything is
ordered; from 100 on they are the status of a receipt. Some are met in both places.
"""

from enum import IntEnum


class Code(IntEnum):
    """The outcome of a transaction. `Code.sentence` says it in words, with the way out."""

    OK = 0
    MALFORMED = 1
    NON_CANONICAL = 2
    OVERSIZED = 3
    OVER_NESTED = 4
    BAD_VERSION = 5
    WRONG_CLUSTER = 6
    BAD_SIGNATURE = 7
    EXPIRED = 8
    REPLAYED = 9
    POOL_FULL = 10
    QUOTA_EXCEEDED = 11
    NOT_READY = 12

    EXPIRY_TOO_FAR = 100
    UNKNOWN_SENDER = 101
    UNKNOWN_APP = 102
    UNKNOWN_METHOD = 103
    INVALID_ARGUMENTS = 104
    NOT_AUTHORISED = 105
    FORBIDDEN = 106
    APPROVALS_NEEDED = 107
    TOO_MANY_WRITES = 108

    RECORD_EXISTS = 200
    RECORD_UNKNOWN = 201
    NOT_OWNER = 202
    WRONG_PREVIOUS = 203

    @property
    def sentence(self) -> str:
        """What happened and what to do about it, for a person."""
        return SENTENCES[self]

    @property
    def label(self) -> str:
        """The stable name for JSON, metrics and logs: `record-exists`."""
        return self.name.lower().replace("_", "-")


SENTENCES: dict[Code, str] = {
    Code.OK: "done",
    Code.MALFORMED: "these bytes are no transaction; build it with the client or as documented",
    Code.NON_CANONICAL: "the encoding is not canonical; encode with minimal headers, arrays and no maps",
    Code.OVERSIZED: "the transaction is too large; keep the payload outside and record its hash",
    Code.OVER_NESTED: "the arguments are nested too deeply; flatten them",
    Code.BAD_VERSION: "this transaction version is not supported; use a client of the cluster's version",
    Code.WRONG_CLUSTER: "signed for another cluster; sign again with this cluster's id",
    Code.BAD_SIGNATURE: "the signature does not match the sender's key; sign exactly the body that is sent",
    Code.EXPIRED: "the transaction has expired; sign it again with a later expiry",
    Code.REPLAYED: "this sender used this id already; look up its receipt, or use a fresh id",
    Code.POOL_FULL: "the node holds as much as it may; send again after the stated time",
    Code.QUOTA_EXCEEDED: "the sender has too much waiting; wait for receipts before sending more",
    Code.NOT_READY: "the node cannot accept payload now; ask /readyz for the reasons, or use another node",
    Code.EXPIRY_TOO_FAR: "the expiry is too far ahead; sign again with an expiry inside the cap",
    Code.UNKNOWN_SENDER: "the sender's key is no member of this cluster; have an admin register it",
    Code.UNKNOWN_APP: "this cluster runs no such application; see the genesis parameters for those it runs",
    Code.UNKNOWN_METHOD: "the application has no such method; see its documentation",
    Code.INVALID_ARGUMENTS: "the arguments do not fit the method; correct the one that is named",
    Code.NOT_AUTHORISED: "the policy of this method does not admit the sender; ask a member whom it admits",
    Code.FORBIDDEN: "the policy of this method forbids it to everybody; the policy must be changed first",
    Code.APPROVALS_NEEDED: "the policy asks for more approvals than one signature gives; "
    "this is not available before governance",
    Code.TOO_MANY_WRITES: "the transaction writes more than one may; split it",
    Code.RECORD_EXISTS: "a record with this id exists; supersede it, or choose another id",
    Code.RECORD_UNKNOWN: "there is no record with this id; put it first",
    Code.NOT_OWNER: "the record belongs to another organisation; only its members may supersede it",
    Code.WRONG_PREVIOUS: "the record has moved on; read its current version and supersede that",
}


def explain(status: int, detail: str) -> str:
    """The sentence for a person: what was found, and the way out. `status` may be of newer software."""
    try:
        sentence = SENTENCES[Code(status)]
    except ValueError:
        sentence = f"status {status}, which this software does not know; use a newer one to read it"
    return f"{detail}: {sentence}" if detail else sentence


class RejectedTransaction(Exception):
    """The sender's fault: refused at the door, or failed at execution with a receipt.

    `code` is stable; `detail` names the compared values; `str()` is both in one sentence. A receipt
    carries code and detail, so at execution a detail is a function of transaction and state alone, the
    same in every Python (no `repr` of text, whose escapes follow the Unicode tables), and rewording one
    is a change of protocol. The sentences are added for people and may be reworded.
    """

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        return explain(self.code, self.detail)
