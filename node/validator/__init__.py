"""A validator: a replica with a data plane, a ledger and catch-up, composed and still pure.

`Validator.step(input, now_ms) -> list[Output]` is the one door. Inputs (`inputs.py`) are what the world
tells it; outputs (`outputs.py`) are what it asks for, in an order that is the durability contract. It
routes and decides nothing: agreement is decided in `consensus`, availability in `node.pool`, meaning in
`node.ledger`. The daemon and the simulator drive the same class.
"""

from node.validator.assembly import Tuning, assemble, pool_config
from node.validator.inputs import (
    BatchChecked,
    BatchLoaded,
    ChunkSubmitted,
    ClockSet,
    DiskLow,
    Flushed,
    Frame,
    Input,
    LinkDown,
    LinkUp,
    Resumed,
    SignaturesChecked,
    Start,
    Submitted,
    TimerExpired,
    Written,
)
from node.validator.outputs import (
    Answer,
    Append,
    BroadcastFrame,
    CheckBatch,
    CheckSignatures,
    EnterEpoch,
    Flush,
    ForwardGossip,
    LoadBatch,
    Output,
    PublishFrame,
    Punish,
    Refusal,
    Resume,
    SendFrame,
    ServeBlocks,
    ServeSync,
    StartTimer,
    StopTimer,
    Tell,
)
from node.validator.recovered import Recovered, first_writes, is_empty, recover
from node.validator.sightings import Sighting
from node.validator.storing import together
from node.validator.validator import Validator

__all__ = [
    "Answer",
    "Append",
    "BatchChecked",
    "BatchLoaded",
    "BroadcastFrame",
    "CheckBatch",
    "CheckSignatures",
    "ChunkSubmitted",
    "ClockSet",
    "DiskLow",
    "EnterEpoch",
    "Flush",
    "Flushed",
    "ForwardGossip",
    "Frame",
    "Input",
    "LinkDown",
    "LinkUp",
    "LoadBatch",
    "Output",
    "PublishFrame",
    "Punish",
    "Recovered",
    "Refusal",
    "Resume",
    "Resumed",
    "SendFrame",
    "ServeBlocks",
    "ServeSync",
    "Sighting",
    "SignaturesChecked",
    "Start",
    "StartTimer",
    "StopTimer",
    "Submitted",
    "Tell",
    "TimerExpired",
    "Tuning",
    "Validator",
    "Written",
    "assemble",
    "first_writes",
    "is_empty",
    "pool_config",
    "recover",
    "together",
]
