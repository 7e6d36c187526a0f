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
    RATE_LIMITED = 13

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

    NOT_OPERATOR = 300
    PROPOSAL_UNKNOWN = 301
    PROPOSAL_EXPIRED = 302
    PROPOSAL_EXECUTED = 303
    ALREADY_APPROVED = 304
    TOO_MANY_PROPOSALS = 305
    NOT_PROPOSER = 306
    SET_REFUSED = 307
    CHANGE_TOO_LARGE = 308
    VALIDATOR_UNKNOWN = 309
    KEY_IN_USE = 310
    NO_CHANGE = 311
    MEMBER_UNKNOWN = 312
    NOT_JOINING = 313
    NOT_SYNCED = 314
    BAD_PROOF = 315
    NOT_DUE = 316
    TOO_MANY_MEMBERS = 317
    NOT_APPROVED = 318
    FEATURES_FULL = 319
    FEATURE_UNKNOWN = 320
    FEATURE_UNSUPPORTED = 321

    GENESIS_REFUSED = 400
    CLUSTER_UNKNOWN = 401
    CLUSTER_KNOWN = 402
    NAME_TAKEN = 403
    NOT_COURIER = 404
    NOTHING_NEW = 405
    HEADER_REFUSED = 406
    LINK_REFUSED = 407
    NOT_CONSISTENT = 408
    NEEDS_CORROBORATION = 409
    PROOF_REFUSED = 410
    CLUSTER_NOT_ACTIVE = 411
    EVIDENCE_REFUSED = 412
    RECOVERY_REFUSED = 413
    RECOVERY_NOT_APPROVED = 414
    LANE_REFUSED = 415
    LANE_FORBIDDEN = 416
    LANE_FULL = 417
    DEADLINE_REFUSED = 418
    LANE_WAITS = 419
    QUOTA_USED = 420
    CLUSTERS_FULL = 421

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
    Code.RATE_LIMITED: "this key sends faster than the node takes in; send again after the stated time",
    Code.NOT_READY: "the node cannot accept payload now; ask /readyz for the reasons, or use another node",
    Code.EXPIRY_TOO_FAR: "the expiry is too far ahead; sign again with an expiry inside the cap",
    Code.UNKNOWN_SENDER: "the sender's key is no member of this cluster; have an admin register it",
    Code.UNKNOWN_APP: "this cluster runs no such application; see the genesis parameters for those it runs",
    Code.UNKNOWN_METHOD: "the application has no such method; see its documentation",
    Code.INVALID_ARGUMENTS: "the arguments do not fit the method; correct the one that is named",
    Code.NOT_AUTHORISED: "the policy of this method does not admit the sender; ask a member whom it admits",
    Code.FORBIDDEN: "the policy of this method forbids it to everybody; the policy must be changed first",
    Code.APPROVALS_NEEDED: "the policy asks for more approvals than one signature gives; "
    "this version collects none for transactions, so let operators set another policy",
    Code.TOO_MANY_WRITES: "the transaction writes more than one may; split it",
    Code.RECORD_EXISTS: "a record with this id exists; supersede it, or choose another id",
    Code.RECORD_UNKNOWN: "there is no record with this id; put it first",
    Code.NOT_OWNER: "the record belongs to another organisation; only its members may supersede it",
    Code.WRONG_PREVIOUS: "the record has moved on; read its current version and supersede that",
    Code.NOT_OPERATOR: "only the operator of a current validator may do this; sign with its operator key",
    Code.PROPOSAL_UNKNOWN: "there is no such proposal, or it was withdrawn; list those that are open",
    Code.PROPOSAL_EXPIRED: "the proposal has expired; propose it again",
    Code.PROPOSAL_EXECUTED: "the proposal was executed; nothing remains to be done",
    Code.ALREADY_APPROVED: "this operator approved it already; others must, or joining nodes be ready",
    Code.TOO_MANY_PROPOSALS: "too many proposals are open; withdraw one, or wait until some expire",
    Code.NOT_PROPOSER: "only who proposed it may withdraw it; ask the proposer",
    Code.SET_REFUSED: "agreement cannot work with this set of validators; change the proposal",
    Code.CHANGE_TOO_LARGE: "more than a third of the voting power would change hands at once; "
    "do it in steps, or propose it as sweeping",
    Code.VALIDATOR_UNKNOWN: "no validator has this name; see the current validators",
    Code.KEY_IN_USE: "every key has one use; make a new one",
    Code.NO_CHANGE: "everything is like this already; there is nothing to propose",
    Code.MEMBER_UNKNOWN: "no member has this key; see the members",
    Code.NOT_JOINING: "the proposal brings no such consensus key; prove with a key that it brings",
    Code.NOT_SYNCED: "the proof names no header of the latest; let the node catch up and prove again",
    Code.BAD_PROOF: "the proof is not signed by the joining consensus key; sign it with that key",
    Code.NOT_DUE: "the proposal cannot take effect yet; collect approvals, let joining nodes prove that they "
    "are ready, and try again in a later block",
    Code.TOO_MANY_MEMBERS: "a cluster has no room for so many members; remove some first",
    Code.NOT_APPROVED: "this operator has not approved it; there is nothing to take back",
    Code.FEATURES_FULL: "a cluster cannot enable more features; there is no way out but a newer release",
    Code.FEATURE_UNKNOWN: "this node would have to stop where the feature begins; upgrade it first",
    Code.FEATURE_UNSUPPORTED: "too few validators run a release that knows it, or are linked to this node; "
    "upgrade and connect them first",
    Code.GENESIS_REFUSED: "this is no genesis that can be admitted; ask that cluster for another",
    Code.CLUSTER_UNKNOWN: "no such cluster was ever admitted; the operators must admit it first",
    Code.CLUSTER_KNOWN: "this cluster was admitted already; there is nothing to propose",
    Code.NAME_TAKEN: "another cluster has this name; a cluster with a name of its own can be admitted",
    Code.NOT_COURIER: "only the node key of a current validator brings this; let its node send it",
    Code.NOTHING_NEW: "everything in it was brought before; nothing remains to be done",
    Code.HEADER_REFUSED: "the header is not certified by that cluster's own set; fetch it from another node",
    Code.LINK_REFUSED: "the epoch links do not lead to the header; bring each one, in order",
    Code.NOT_CONSISTENT: "the header does not extend the history that is held; if it is certified, accuse",
    Code.NEEDS_CORROBORATION: "epochs passed unwatched; add witnesses, or let operators vouch for a header",
    Code.PROOF_REFUSED: "a proof does not hold; prove it against the header that is anchored",
    Code.CLUSTER_NOT_ACTIVE: "nothing passes to or from it now; a fresh header or a recovery must come first",
    Code.EVIDENCE_REFUSED: "this freezes nobody; evidence is two contradicting certified statements",
    Code.RECOVERY_REFUSED: "the recovery does not fit what is held of the cluster; see the detail",
    Code.RECOVERY_NOT_APPROVED: "the operators have not approved exactly this recovery; let them approve it",
    Code.LANE_REFUSED: "the lane does not take this; see the detail",
    Code.LANE_FORBIDDEN: "the operators do not allow this lane; let them set its policy",
    Code.LANE_FULL: "too much waits on this lane, or there are too many; wait for acknowledgements",
    Code.DEADLINE_REFUSED: "the deadline is not inside the allowed time; choose another",
    Code.LANE_WAITS: "it waits for what was sent before it; bring that first",
    Code.QUOTA_USED: "the quota of this lane is used up; bring it again later, it waits until its deadline",
    Code.CLUSTERS_FULL: "no more clusters can be admitted; there is no way out but another federation",
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
