"""Nobody signs two things, in one life or in two, and nothing signed leaves before it is durable.

What a host signed is read from its frames and from its journal, and both must tell one story: a journal
never goes back below what it once held, a frame says only what the journal already says, and the guard
beside the key reserved it before. `signed` holds the last `PLACES_KEPT` of each kind and validator; older
ones need no comparison, because a host that signs below them goes back and is caught for that.
Rules S1 to S8 of consensus/DESIGN.md; C1, C2, C4, C14, C15; evidence against the honest is C20's. Rounds are
places (`reading.place`), so that nothing of an epoch is signed after its record left it.
"""

from collections import deque
from collections.abc import Callable, Container
from dataclasses import dataclass, field

from bench.sim.checkers.reading import Fields, SeenBlock, place, placed, unpack
from bench.sim.violation import Violation

PLACES_KEPT = 2_048
"""Rounds or heights of each kind and validator that are remembered."""
BLOCKS_KEPT = 1_024
"""Blocks whose right to a vote is remembered, oldest out first."""

_MARKS = (
    "last voted round",
    "highest timeout round",
    "last proposed round",
    "last signed height",
    "locked round",
)
_VOTED, _TIMED_OUT, _PROPOSED, _HEIGHT = range(4)
_Key = tuple[str, int, int]


@dataclass(slots=True)
class _Signer:
    """What one validator's journal has said so far, in all its lives."""

    marks: tuple[int, int, int, int, int] = (-1, -1, -1, -1, -1)
    vote: Fields | None = None
    timeout: Fields | None = None
    header: Fields | None = None
    lock: tuple[int, int] = (0, 0)
    """(round of the newest vote, highest parent round of all votes)."""
    guard: bytes | None = None
    reserved: tuple[int, int] = (-1, -1)
    """(round, height) up to which the guard file allows signatures."""
    places: dict[str, deque[int]] = field(default_factory=dict)


def _same(epoch: int, index: int) -> int:
    return index


class Signing:
    """Of honest hosts alone; a validator is known by its number in the setting, whatever life it is in, and
    `number_of` an index in an epoch (C4)."""

    def __init__(self, number_of: Callable[[int, int], int] = _same) -> None:
        self._number_of = number_of
        self.signed: dict[_Key, object] = {}
        self.votes = 0
        self._signers: dict[int, _Signer] = {}
        self._unsafe: dict[bytes, str] = {}

    # --- the journal -----------------------------------------------------------------------------------

    def on_record(self, index: int, record: Fields) -> None:
        """The safety record of a journal record that is on disk now: `[version, boot, epoch, voted, locked,
        timed out, proposed, height, floor round, floor height, vote, timeout, header]`."""
        rounds, height, floor_height = record[3:7], record[7], record[9]
        vote, timeout, header = record[10:]
        voted, locked, timed_out, proposed, floor = (
            place(record[2], round) for round in (*rounds, record[8])
        )
        signer = self._signers.setdefault(index, _Signer())
        if vote is not None and vote != signer.vote:
            self._is_new_vote(index, signer, vote)
        if timeout is not None and timeout != signer.timeout:
            self._is_new_timeout(index, signer, timeout)
        if header is not None and header != signer.header:
            self._once("header", index, header[2], _of_header(header))
        marks = (
            max(voted, floor),
            max(timed_out, floor),
            max(proposed, floor),
            max(height, floor_height),
            locked,
        )
        if marks != signer.marks:
            for what, before, now in zip(_MARKS, signer.marks, marks, strict=True):
                if now < before:
                    self._wrong(index, f"its journal's {what} went from {before} back to {now}")
        signer.marks, signer.vote, signer.timeout, signer.header = marks, vote, timeout, header

    def on_journaled_block(self, index: int, block: SeenBlock) -> None:
        """A block in a journal record that is on disk now."""
        if self._number_of(block.epoch, block.author) == index:
            self._once("proposal", index, block.round, block.id)

    def _is_new_vote(self, index: int, signer: _Signer, vote: Fields) -> None:
        round, block_id, parent_round = place(vote[0], vote[1]), vote[2], place(vote[0], vote[4])
        if ("vote", index, round) in self.signed:
            self._once("vote", index, round, vote[2:6])
            return
        self._remember(("vote", index, round), vote[2:6])
        if round <= signer.marks[_TIMED_OUT]:
            self._wrong(index, f"it voted in round {round} after giving up round {signer.marks[_TIMED_OUT]}")
        if round <= signer.marks[_VOTED]:
            self._wrong(index, f"it voted in round {round} after round {signer.marks[_VOTED]}")
        if self._unsafe.get(block_id):
            self._wrong(index, f"it voted for {block_id.hex()[:12]}: {self._unsafe[block_id]}")
        signer.lock = (round, max(parent_round, signer.lock[1]))

    def _is_new_timeout(self, index: int, signer: _Signer, timeout: Fields) -> None:
        round, hqc_round = place(timeout[0], timeout[1]), place(timeout[0], timeout[2][1])
        if round >= signer.lock[0] and hqc_round < signer.lock[1]:
            words = f"it gave round {round} up holding {hqc_round}, locked on {signer.lock[1]}"
            self._wrong(index, words)
        held = self._held(index, round)
        if hqc_round not in held:
            if held and hqc_round < held[-1]:
                self._wrong(index, f"it gave round {round} up holding {held[-1]}, then holding {hqc_round}")
            self._remember(("timeout", index, round), (*held, hqc_round))

    # --- frames ----------------------------------------------------------------------------------------

    def on_vote(self, index: int, guard: bytes | None, vote: Fields) -> None:
        """It sends a vote: `[epoch, round, block, parent, parent round, commit, author, signature]`."""
        self.votes += 1
        signer, round = self._leaves("vote", index, vote[0], vote[6], guard), place(vote[0], vote[1])
        self._journaled("vote", index, round, vote[2:6])
        self._durable("vote", index, round, signer.marks[_VOTED], signer.reserved[0])

    def on_timeout(self, index: int, guard: bytes | None, timeout: Fields) -> None:
        """It sends a timeout: `[epoch, round, hqc, tc, reason, blamed, author, signature]`."""
        signer = self._leaves("timeout", index, timeout[0], timeout[6], guard)
        round, hqc_round = place(timeout[0], timeout[1]), place(timeout[0], timeout[2][1])
        self._durable("timeout", index, round, signer.marks[_TIMED_OUT], signer.reserved[0])
        if hqc_round not in self._held(index, round):
            self._wrong(index, f"its timeout of {round} holding {hqc_round} is not the one in its journal")

    def on_header(self, index: int, guard: bytes | None, signed: Fields) -> None:
        """It sends a header signature: `[incarnation, epoch, height, block, header, author, signature]`."""
        signer = self._leaves("header", index, signed[1], signed[5], guard)
        self._journaled("header", index, signed[2], _of_header(signed))
        self._durable("header", index, signed[2], signer.marks[_HEIGHT], signer.reserved[1])

    def on_proposal(self, index: int, guard: bytes | None, block: SeenBlock) -> None:
        """It proposes."""
        signer = self._leaves("proposal", index, block.epoch, block.author, guard)
        self._journaled("proposal", index, block.round, block.id)
        self._durable("proposal", index, block.round, signer.marks[_PROPOSED], signer.reserved[0])

    def on_block(self, block: SeenBlock) -> None:
        """A block was seen that somebody may vote for."""
        if block.id not in self._unsafe:
            self._unsafe[block.id] = _why_unsafe(block)
            if len(self._unsafe) > BLOCKS_KEPT:
                del self._unsafe[next(iter(self._unsafe))]

    def on_certificate(self, certificate: Fields, exempt: Container[int]) -> None:
        """A good certificate was seen, `placed`: what honest validators signed in it is in their journals
        (C2). A QC has 8 fields, a header certificate 7, a TC 5."""
        at, by, mark = {8: (1, 6, _VOTED), 7: (2, 5, _HEIGHT), 5: (1, 2, _TIMED_OUT)}[len(certificate)]
        epoch = certificate[1] if len(certificate) == 7 else certificate[0]
        signed_at, signers = certificate[at], certificate[by]
        bits = int.from_bytes(signers, "little")
        for seat in range(8 * len(signers)):
            index = self._number_of(epoch, seat) if bits >> seat & 1 else None
            signer = None if index is None else self._signers.get(index)
            if index is None or signer is None or index in exempt:
                continue
            if signed_at > signer.marks[mark]:
                self._wrong(index, f"a certificate of {signed_at} counts it, its journal ends before")

    def on_evidence(self, accused: int) -> None:
        """Honest hosts pass on evidence against an honest one."""
        self._wrong(accused, "it stands accused, with evidence that honest hosts believe")

    # --- what all have in common -----------------------------------------------------------------------

    def _leaves(self, kind: str, index: int, epoch: int, author: int, guard: bytes | None) -> _Signer:
        signer = self._signers.setdefault(index, _Signer())
        if self._number_of(epoch, author) != index:
            self._wrong(index, f"it sends a {kind} of validator {author} in epoch {epoch}")
        if guard is not signer.guard:
            fields = None if guard is None else unpack(guard)
            signer.guard = guard
            signer.reserved = (-1, -1) if fields is None else (place(fields[2], fields[4]), fields[6])
        return signer

    def _durable(self, kind: str, index: int, place: int, durable: int, reserved: int) -> None:
        if place > durable:
            self._wrong(index, f"its {kind} of {place} left before it was durable")
        if place > reserved:
            self._wrong(index, f"its {kind} of {place} left, the guard reserves up to {reserved}")

    def _journaled(self, kind: str, index: int, place: int, what: object) -> None:
        known = self.signed.get((kind, index, place))
        if known is None:
            self._wrong(index, f"its {kind} of {place} left and was never in its journal")
        if known != what:
            self._wrong(index, f"its {kind} of {place} is not the one in its journal")

    def _held(self, index: int, round: int) -> tuple[int, ...]:
        """The highest QCs of this round's timeouts, ascending."""
        held = self.signed.get(("timeout", index, round), ())
        return held if isinstance(held, tuple) else ()

    def _once(self, kind: str, index: int, place: int, what: object) -> None:
        known = self.signed.get((kind, index, place))
        if known is None:
            self._remember((kind, index, place), what)
        elif known != what:
            self._wrong(index, f"it signed two {kind}s at {place}")

    def _remember(self, key: _Key, what: object) -> None:
        if key not in self.signed:
            kind, index, place = key
            places = self._signers.setdefault(index, _Signer()).places.setdefault(kind, deque())
            places.append(place)
            if len(places) > PLACES_KEPT:
                del self.signed[kind, index, places.popleft()]
        self.signed[key] = what

    def _wrong(self, index: int, words: str) -> None:
        raise Violation("signing", f"validator {index}: {words}")


def _of_header(signed: Fields) -> Fields:
    """What must be one: incarnation, block id, header hash."""
    return (signed[0], *signed[3:5])


def _why_unsafe(block: SeenBlock) -> str:
    """Jolteon's rule for a vote (S3), "" when it holds."""
    round, parent_round = block.round, block.parent_round
    tc = None if block.tc is None else placed(block.tc)
    if parent_round >= round:
        return f"round {round} extends round {parent_round}"
    if parent_round + 1 == round:
        return ""
    if tc is None or tc[1] + 1 != round:
        return f"round {round} extends round {parent_round} without a TC of the round before"
    if parent_round < max(tc[3], default=0):
        return f"round {round} extends round {parent_round}, its TC shows {max(tc[3])}"
    return ""
