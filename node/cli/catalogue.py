"""The catalogue of codes: everything stable that Isthmus answers, in words, with the way out.

Codes that carry their own sentence (exit codes, the ledger's, the API's, the lanes') are read where they
are defined. Those that are a bare word at their place, because it is pure or says more in its message,
get their sentence here; a test looks through the source for words that are missing or no longer said.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from node.anchoring.lanes import Refusal
from node.anchoring.refusals import Code as ClientCode
from node.api.faults import Fault
from node.cli.exits import Exit
from node.cli.filefaults import FILE_FAULTS
from node.cli.peercodes import COURIER, PEER, QUESTION
from node.diagnosis import CLUSTER_RULES, DOWN_RULES, NODE_RULES, PEER_RULES
from node.ledger.codes import Code


@dataclass(frozen=True, slots=True)
class Entry:
    """One code. `code` is its number, where it has one; `name` is lower case with hyphens."""

    kind: str
    code: int | None
    name: str
    meaning: str


CLIENT: dict[ClientCode, str] = {
    ClientCode.WRONG_CLUSTER: "It speaks of another cluster; bring it to the cluster that it names.",
    ClientCode.WRONG_INCARNATION: "It is of another incarnation; bring the recovery first.",
    ClientCode.WRONG_EPOCH: "It is of another epoch than the one held; bring the epoch links between.",
    ClientCode.WRONG_VALIDATORS: "The header names another set than its epoch has; ask another node.",
    ClientCode.CERTIFICATE_MISMATCH: "The certificate is of another header; fetch both from one node.",
    ClientCode.CERTIFICATE_INVALID: "The certificate is no quorum of good signatures; ask another node.",
    ClientCode.LINK_NOT_AN_END: "The link's header does not end its epoch; bring the epoch's last header.",
    ClientCode.LINK_NEXT_SET: "The set in the link is not the one that its header names; ask another node.",
    ClientCode.LINK_HEIGHT: "The link is at no height where this epoch can end; bring the links in order.",
    ClientCode.NOT_NEWER: "A header of this height or above is held already; nothing is to be done.",
    ClientCode.TIME_NOT_LATER: "Its time is not after that of the header below; accuse, if it is certified.",
    ClientCode.TIME_AHEAD: "Its time is far ahead of this cluster's; look at the clocks of both.",
    ClientCode.EPOCH_ENDED: "The epoch ended below this header; bring the epoch link first.",
    ClientCode.NOT_CONSISTENT: "It does not extend the history that is held; if it is certified, accuse.",
    ClientCode.TIP_NOT_INCLUDED: "The tip that is held is not in its history; if it is certified, accuse.",
    ClientCode.NEEDS_WITNESSES: "Epochs passed unwatched; add other clusters' views, or let operators vouch.",
    ClientCode.NEEDS_APPROVAL: "Epochs passed unwatched; the operators must approve the header.",
    ClientCode.BAD_WITNESS: "A view does not prove what it is brought for; take a fresh one.",
    ClientCode.CLIENT_FROZEN: "The cluster is frozen on evidence; its operators must recover it.",
    ClientCode.CLIENT_RETIRED: "The cluster was retired here for good; admit it under a new genesis.",
    ClientCode.CLIENT_NOT_PENDING: "The cluster was admitted before; nothing is to be done.",
    ClientCode.NO_CONFLICT: "The two statements do not contradict each other; they are no evidence.",
    ClientCode.UNKNOWN_SET: "It is of an epoch whose validators are not known here; bring the epoch links.",
    ClientCode.LEAF_NOT_INCLUDED: "The leaf is not under the root it is brought for; prove it again.",
    ClientCode.PAST_EPOCH: "Keys of a past epoch alone freeze nobody; add another cluster's view of it.",
    ClientCode.ACCUSED_FULL: "As many validators are accused as can be held; what is held suffices.",
    ClientCode.ROSTER_MISMATCH: "These are not the operators that the ledger certified; prove the roster.",
    ClientCode.RECOVERY_BASE: "Its base is not the tip that is held; make the next on the highest anchored.",
    ClientCode.RECOVERY_EVIDENCE: "The recovery rests on other evidence than is held; bring that evidence.",
    ClientCode.RECOVERY_ACCUSED: "It accuses somebody who signed it or is in its set; make one without them.",
    ClientCode.RECOVERY_SIGNERS: "Somebody signed the recovery who may not; collect the signatures again.",
    ClientCode.RECOVERY_WEIGHT: "Too little weight signed the recovery; collect more signatures.",
}

GENESIS: dict[str, str] = {
    "cluster-id": "The document says another cluster id than it has; it was changed after it was made.",
    "duplicate": "Two claim the same name or key, or a key of JSON is there twice; the message names both.",
    "entries": "A genesis has 1 to 128 entries; give every organisation's entry once.",
    "format": "This is another kind of document; give the plan first, then the entries.",
    "host": "The address is empty or too long; give --host.",
    "invalid": "A value cannot work; the message says where and what would.",
    "json": "The file is no JSON; it was cut or edited: get it again.",
    "key": "This is no public key; copy its 64 lower-case hexadecimal digits again.",
    "member": "A member cannot be registered like this; correct what the message names.",
    "members": "An entry registers at most 256 members; add others later by governance.",
    "missing-key": "Something is missing from the document; the message names it.",
    "name": "Names of validators and organisations are lower-case letters, digits, '.', '_' and '-'.",
    "organisation": "An entry registers members of another organisation; each speaks for its own only.",
    "other-plan": "The entry was made for another plan; its organisation joins this plan anew.",
    "params": "The plan's parameters cannot work; the message says which.",
    "plan-hash": "The plan says another hash than it has; it was changed after it was made.",
    "port": "A port is a number from 1 to 65535.",
    "shape": "The document is not of the expected shape; the message names the place.",
    "signature": "The entry was changed after its operator signed it; get it again.",
    "too-large": "The document is larger than one may be; is it the right file?",
    "too-many": "More members than a cluster has room for; leave some out.",
    "type": "A value is of the wrong type; the message names the place.",
    "unknown-app": "No such application; leave it out, or use a software that has it.",
    "unknown-key": "The document has a key that nobody reads; the message suggests the right one.",
    "version": "Another version of the document; use the software that everybody uses.",
}

DOCTOR: dict[str, str] = {
    "config": "config.toml and the environment can be read and every value is possible.",
    "genesis": "genesis.json is there and what its cluster id says.",
    "node-key": "The key of this node's links is whole and private.",
    "validator-key": "The key that signs in agreement is whole and private.",
    "running": "A node of this home runs now.",
    "key-folder": "The folder of keys belongs to this user alone.",
    "guard": "The guard, which remembers what the key may have signed, can be read. "
    "A key whose guard is lost never signs again: rotate it by governance.",
    "membership": "Whether the genesis lists this node's keys, or it joins later.",
    "packages": "This software's four packages are its own, and from one place.",
    "interpreter": "This Python was built with optimisations; half of a node's time is the interpreter's.",
    "clock": "The clock follows a source; blocks from the future are held back by the others.",
    "disk-space": "There is room for the chain, which only grows.",
    "disk-sync": "How long one synced write takes; every round waits for two.",
    "keep-blocks": "What pruning keeps lasts an hour or more, so that who was away that long catches up.",
    "map-size": "The databases' address space is allowed (ulimit -v).",
    "open-files": "Enough files may be open (ulimit -n).",
    "p2p-port": "The port for other nodes can be listened on.",
    "api-port": "The port of the API can be listened on.",
    "journal": "The journal of a node that is down is whole, or ends as an interrupted write does.",
    "database": "The files of the databases of a node that is down are whole.",
    "p2p-host": "Other machines can come to the address on which the node listens for nodes.",
    "api-names": "Who comes to the API from elsewhere finds a name by which it may be asked.",
    "peers": "The other nodes are found, let this one in, and are of the same cluster.",
}

START: dict[str, str] = {
    "node-key-differs": "The genesis lists this validator with another node key; restore its key folder.",
    "not-a-validator": 'The genesis does not list this key; a later validator has role = "joining".',
    "database-damaged": "What is stored contradicts itself; move the data folder away, never the keys.",
    "genesis-differs": "The data is of another cluster; use another home, or its own genesis.json.",
    "journal-behind": "The journal is older than the database; move the data folder away, never the keys.",
    "guard-unreadable": "The guard is not of this program; use the version that wrote it.",
    "given-away": "The validator was moved to another machine: start it there; or take it back.",
    "key-in-use": "Another process runs with this key; two would convict each other: stop one.",
    "key-unreadable": "The key's lock cannot be taken; look at the owner of the key folder.",
    "guard-missing": "The guard is lost, so the key may have signed anything; rotate it by governance.",
    "guard-corrupt": "Both slots of the guard are damaged; the key never signs again: rotate it.",
    "guard-foreign": "The guard is of a newer format; start the release that wrote it, and keep the file.",
    "guard-exists": "A guard is there already; keys are never made over others.",
    "guard-failed": "The guard cannot be written; look at the disk that holds the keys.",
    "journal-failed": "The journal cannot be written; look at the disk.",
    "journal-corrupt": "The journal is damaged before its end; move the data folder away, never the keys.",
    "journal-foreign": "The journal is of a newer format; start the release that wrote it, or go back by "
    "deploy/UPGRADE.md.",
    "journal-full": "The disk has no room for the journal; make room and start again.",
    "store-failed": "The database cannot be read or written; look at the disk.",
    "store-full": "The database or the disk is full; make room, or raise storage.map_bytes.",
    "store-foreign": "The data folder was not written by this version; use the one that wrote it.",
    "upgrade-needed": "The cluster went on to rules that this release does not know; install the newer one.",
    "snapshot-limit": "Too many readers at once; ask again.",
    "snapshot-expired": "A reader took too long and was ended; ask for less at a time.",
}

MAINTENANCE: dict[str, str] = {
    "backup-damaged": "A file of the backup is not what was written; take another backup.",
    "backup-foreign": "The backup is of another cluster; take one of this cluster.",
    "chain-damaged": "The chain file was cut or changed; export it again.",
    "chain-foreign": "The chain file is of another cluster than was named; compare cluster ids.",
    "chain-partial": "The file begins above height 1 and cannot be executed; take another node's.",
    "chain-refuted": "Something in the chain file is not as a quorum certified it; do not use it.",
    "data-foreign": "The data is of another cluster than genesis.json; put the right genesis.json back.",
    "destination-taken": "Something lies where the backup was to go; choose another place.",
    "given-away-here": "The file is imported where the validator goes to; here it can only be taken back.",
    "keep-too-few": "So few heights cannot be kept; say a larger --keep.",
    "no-backup": "The folder is no backup of this version; name the folder that `isthmus db backup` made.",
    "never-signs": "The guard is lost, so there is nothing to move; rotate the key by governance.",
    "no-room": "The disk has too little room for it; make room first.",
    "nothing-to-export": "The chain has no certified height yet.",
    "not-given-away": "Only the home that gave a validator away can take it back, with the same file.",
    "pruned-range": "Part of the chain was pruned on this node; use one that keeps the whole history.",
    "safety-damaged": "The safety file was cut or changed; export it again.",
    "safety-foreign": "It is of another key or cluster; copy validator.key and genesis.json first.",
    "safety-older": "The key has signed more than the file knows; export again where the validator ran last.",
}

LINK: dict[str, str] = {
    "config": "The network cannot be set up like this; the message says what to change.",
    "port-in-use": "Another process listens on the port; stop it, or choose another.",
    "message-refused": "This node tried to send what the network cannot carry; please report it.",
    "malformed-frame": "A peer sent a frame that is none; it is scored.",
    "topic-forbidden": "A peer sent what it may not send on this link; it is scored.",
    "hello-mismatch": "The peer is of another cluster, or says hello otherwise; compare with its operator.",
    "no-common-version": "There is no protocol version that both nodes speak; upgrade the older one first.",
    "malformed-hello": "A peer's introduction cannot be read; it is scored.",
    "untrusted-peer": "A key that is not pinned; its operator and you must add each other's node key.",
    "wrong-peer": "Another key answers at the address; correct the peer entry.",
    "self-connection": "The address is this node's own; correct the peer entry.",
    "duplicate-connection": "Another link to the same peer stays; nothing is to be done.",
    "banned": "The peer misbehaved and is kept out for a while; the ban ends by itself.",
    "refused-by-peer": "The peer refused this node and said why; talk with its operator.",
    "handshake-timeout": "The peer did not finish its introduction in time; look at the way between.",
    "peer-silent": "Nothing was heard of the peer, not even an answer to a ping; look at the way between.",
    "slow-reader": "The peer does not read what it is sent; it is overloaded, or stopped.",
    "connection-lost": "The connection ended; it is dialled again.",
    "misbehaviour": "The peer did too much that it must not do; it is banned for a while.",
    "internal-fault": "This node failed at handling a peer; please report it.",
}


def _diagnoses() -> Iterator[tuple[str, str]]:
    """What `isthmus why` can say, with the way out behind it."""
    for table in (CLUSTER_RULES, NODE_RULES, PEER_RULES, DOWN_RULES):
        for rule in table:
            yield rule.code, f"{rule.meaning} {rule.remedy[:1].upper()}{rule.remedy[1:]}".strip()


def entries() -> tuple[Entry, ...]:
    """Everything, kind by kind; a name may mean something in more than one."""
    return (
        *(Entry("exit code", int(e), e.name.lower().replace("_", "-"), e.meaning) for e in Exit),
        *(Entry("ledger code", int(c), c.label, c.sentence) for c in Code),
        *(Entry("API error", f.value.code, f.value.name, f.value.hint) for f in Fault),
        *(Entry("light client", None, reason.value, sentence) for reason, sentence in CLIENT.items()),
        *(Entry("lane", None, refusal.label, refusal.way_out) for refusal in Refusal),
        *(Entry("genesis", None, name, sentence) for name, sentence in GENESIS.items()),
        *(Entry("doctor check", None, name, sentence) for name, sentence in DOCTOR.items()),
        *(Entry("start", None, name, sentence) for name, sentence in START.items()),
        *(Entry("file", None, fault.name, fault.meaning) for fault in FILE_FAULTS),
        *(Entry("maintenance", None, name, sentence) for name, sentence in MAINTENANCE.items()),
        *(Entry("link", None, name, sentence) for name, sentence in LINK.items()),
        *(Entry("peer", None, name, sentence) for name, sentence in PEER.items()),
        *(Entry("courier", None, name, sentence) for name, sentence in COURIER.items()),
        *(Entry("question", None, name, sentence) for name, sentence in QUESTION.items()),
        *(Entry("diagnosis", None, name, sentence) for name, sentence in _diagnoses()),
    )
