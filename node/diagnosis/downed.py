"""Why a node does not answer, from what its home shows: the lock, the guard, the disk, the end of its log."""

from dataclasses import dataclass

from node.diagnosis.verdict import Diagnosis, Rule, Verdict, first_that_applies


@dataclass(frozen=True, slots=True)
class HomeFacts:
    """A home whose node did not answer.

    `faults` are (check, words, remedy) of the doctor, the gravest first. `last_words` is what the log ends
    with, empty without one; `ended_in_order` says that the journal carries the mark of an orderly end.
    """

    name: str
    url: str
    is_here: bool
    """Whether its home is on this machine; nothing below is known otherwise."""
    has_data: bool
    is_running: bool
    given_away: str
    faults: tuple[tuple[str, str, str], ...]
    journal_words: str
    """Up to where the journal goes, in words; or why it cannot be read."""
    ended_in_order: bool
    last_words: str


def elsewhere(name: str, url: str) -> HomeFacts:
    """The facts about a node whose home is on another machine."""
    return HomeFacts(name, url, False, False, False, "", (), "", False, "")


def _no_answer(home: HomeFacts) -> str | None:
    return None if home.is_here else f"{home.url} does not answer"


def _given_away(home: HomeFacts) -> str | None:
    return f"it was given away and does not start: {home.given_away}" if home.given_away else None


def _mute(home: HomeFacts) -> str | None:
    if not home.is_running:
        return None
    return f"its process runs, and {home.url} does not answer"


def _fault(home: HomeFacts) -> str | None:
    if not home.faults:
        return None
    check, words, remedy = home.faults[0]
    more = f" ({len(home.faults) - 1} more faults)" if len(home.faults) > 1 else ""
    return f"it is down, and would not start: {check}: {words}; {remedy}{more}"


def _never_started(home: HomeFacts) -> str | None:
    return None if home.has_data else "it is down, and has never run: there is no data"


def _crashed(home: HomeFacts) -> str | None:
    if home.ended_in_order:
        return None
    last = f"; its log ends: {home.last_words}" if home.last_words else ""
    return f"it is down, and did not end in good order ({home.journal_words}){last}"


def _stopped(home: HomeFacts) -> str | None:
    return f"it is down; it was stopped in good order ({home.journal_words})"


DOWN_RULES: tuple[Rule[HomeFacts], ...] = (
    Rule(
        "no-answer",
        Verdict.FAULT,
        "Nothing answers at the address.",
        "is the address right? on the node's own machine, `isthmus why --home HOME` says more",
        _no_answer,
    ),
    Rule(
        "validator-given-away",
        Verdict.FAULT,
        "`isthmus safety export` gave this validator to another machine.",
        "start it there; to take it back, `isthmus safety import FILE --take-back`, if nobody imported it",
        _given_away,
    ),
    Rule(
        "runs-and-is-mute",
        Verdict.FAULT,
        "The node's process holds its key, and its API does not answer.",
        "it may still be starting: wait; compare api.host and api.port with the address; read its log",
        _mute,
    ),
    Rule(
        "would-not-start",
        Verdict.FAULT,
        "The node is down, and something would keep it from starting.",
        "`isthmus doctor --home HOME` lists everything; mend it, then start the node",
        _fault,
    ),
    Rule(
        "never-started",
        Verdict.FAULT,
        "The node has never run.",
        "start it: `isthmus start --home HOME`, or its service",
        _never_started,
    ),
    Rule(
        "ended-abruptly",
        Verdict.FAULT,
        "The node was killed, or ended because of a fault.",
        "read the end of its log, then start it: it recovers by itself, and nothing acknowledged is lost",
        _crashed,
    ),
    Rule(
        "stopped",
        Verdict.FAULT,
        "The node is stopped.",
        "start it: `isthmus start --home HOME`, or its service",
        _stopped,
    ),
)
"""In this order; the last one always applies."""


def why_down(home: HomeFacts) -> Diagnosis:
    """Why it does not answer."""
    return first_that_applies(DOWN_RULES, home, home.name)
