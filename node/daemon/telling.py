"""What a node writes to its log as it starts, and how: JSON lines for machines, colours for people."""

import logging
import sys

import structlog

from consensus import Round, StartKind
from node.config import NodeConfig
from node.daemon.startup import OpenedHome

_log = structlog.get_logger("isthmus")


def tell_start(opened: OpenedHome) -> None:
    """What was found, and whether this node signs."""
    recovered, floor = opened.recovered, opened.floor
    _log.info(
        "starting",
        node=opened.config.name,
        cluster=opened.genesis.name,
        cluster_id=opened.genesis.cluster_id.hex(),
        height=recovered.tip.height,
        round=recovered.high_qc.round if recovered.high_qc else Round(0),
    )
    if opened.journal.torn_tail is not None:
        _log.warning("journal_torn_tail", detail=opened.journal.torn_tail)
    if opened.guard is not None and opened.guard.damaged_slot:
        _log.warning(
            "guard_slot_damaged",
            detail=f"one of the two slots of {opened.config.home.guard_file} cannot be read; the other one "
            "counts, with a full reservation on top. Check the disk",
        )
    if floor is not None:
        say = _log.warning if floor.kind is StartKind.NO_GUARD else _log.info
        say("signing", kind=floor.kind.value, detail=floor.explanation)


def configure_log(config: NodeConfig) -> None:
    """JSON lines to stdout when nobody reads along, colours for people; one place, once a process."""
    as_json = config.logging.format == "json" or (config.logging.format == "auto" and not sys.stdout.isatty())
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    )
    level = getattr(logging, config.logging.level.upper())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
    )
    logging.basicConfig(stream=sys.stdout, level=max(level, logging.WARNING), format="%(message)s")
