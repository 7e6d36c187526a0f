"""The application of a simulated cluster: every kind of answer a handler may give, and money to be conserved.

The first word of a payload says what becomes of it at the destination:

    coin N       N coins are minted there; the source escrows them when it sends, and takes them back when the
                 answer is ERROR or EXPIRED (the measure of I6)
    via ID N     forwarded: the handler sends `coin N` on to cluster ID
    fails        the handler writes, sends and then fails
    denied       policy refuses it
    again        the handler asks for its own message to be taken again
"""

from collections.abc import Callable
from dataclasses import dataclass

from node.anchoring.lanes import (
    Acknowledgement,
    HandlerFailed,
    Lane,
    LaneRefused,
    LaneState,
    Message,
    Mode,
    Result,
    Verdict,
)

PORT = "records"
_ROLLED_BACK = b"app/rolled-back"
Sender = Callable[[LaneState, bytes, Mode, bytes, int], object]
"""(state, destination, mode, payload, lasting_ms) sends. Raises LaneRefused, or HandlerFailed."""


@dataclass(frozen=True, slots=True)
class Books:
    """Coins of one lane: `escrow` at its source, `minted` at its destination."""

    escrow: int
    minted: int


def escrow_key(lane: Lane) -> bytes:
    """What the source holds for a lane."""
    return b"app/escrow/" + _name(lane)


def minted_key(lane: Lane) -> bytes:
    """What the destination made of a lane."""
    return b"app/minted/" + _name(lane)


def _name(lane: Lane) -> bytes:
    return b"%s/%s/%d" % (lane.source.hex().encode(), lane.destination.hex().encode(), lane.mode)


def amount(state: LaneState, key: bytes) -> int:
    """Coins under a key."""
    return int(state.get(key) or b"0")


def _add(state: LaneState, key: bytes, coins: int) -> None:
    state.put(key, b"%d" % (amount(state, key) + coins))


def coins_of(payload: bytes) -> int:
    """How many coins a message carries; 0 for every other kind."""
    words = payload.split(b" ")
    return int(words[1]) if words[0] == b"coin" else 0


def on_sent(state: LaneState, message: Message) -> None:
    """Escrow what leaves."""
    escrow(state, message.lane, message.payload)


def escrow(state: LaneState, lane: Lane, payload: bytes) -> None:
    """Hold the coins of a payload that was sent on a lane."""
    coins = coins_of(payload)
    if coins:
        _add(state, escrow_key(lane), coins)


def admits(message: Message) -> Verdict:
    """The policy of what comes in."""
    return Verdict.DENY if message.payload.startswith(b"denied") else Verdict.ADMIT


def handle(
    state: LaneState, message: Message, send: Sender, take_again: Callable[[LaneState], None]
) -> bytes:
    """What a message does; its answer. Raises HandlerFailed."""
    words = message.payload.split(b" ")
    match words[0]:
        case b"coin":
            _add(state, minted_key(message.lane), coins_of(message.payload))
        case b"via":
            try:
                send(state, bytes.fromhex(words[1].decode()), message.lane.mode, b"coin " + words[2], 60_000)
            except LaneRefused as refused:
                raise HandlerFailed(refused.refusal.label.encode()) from refused
        case b"fails":
            state.put(_ROLLED_BACK, b"1")
            _add(state, minted_key(message.lane), 1_000)
            state.say(message.lane.source, b"never said")
            raise HandlerFailed(b"no")
        case b"again":
            take_again(state)
    return b"done"


def on_result(state: LaneState, acknowledgement: Acknowledgement, payload: bytes) -> None:
    """Hear what became of `payload`: what was not minted comes back."""
    if acknowledgement.result is not Result.OK:
        coins = coins_of(payload)
        if coins:
            _add(state, escrow_key(acknowledgement.lane), -coins)


def has_leaked(state: LaneState) -> bool:
    """Whether the writes of a failed handler stand."""
    return state.get(_ROLLED_BACK) is not None
