"""Interaction files: a script goes in, a trace comes out, and people read both.

A file opens with a comment that tells its story. Then blocks follow: commands, a line `----`, and what
happened, up to an empty line. `pytest tests/scenarios --rewrite` records the traces anew; commit a difference
only when it is understood and wanted. Commands are the branches of `Script.do`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from consensus import Block, Message, Proposal, SigningKey, proposal_digest
from tests.consensus.cluster import CLUSTER_ID, Cluster, Disk, Node, config_of

FOLDER = Path(__file__).parent
FILES = sorted(FOLDER.glob("*.txt"))
LINES_MAX = 60


@dataclass
class Script:
    """A cluster and the lines it was driven by."""

    cluster: Cluster = field(default_factory=Cluster)
    hidden: tuple[str, ...] = ()
    read: int = 0
    dropped: list[tuple[str, str, str]] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)

    def do(self, line: str) -> list[str]:
        """Run one command; the lines it prints besides the trace."""
        command, *words = line.split()
        cluster = self.cluster
        match command, words:
            case "cluster", options:
                self._build(dict(option.split("=") for option in options))
            case "hide", kinds:
                self.hidden = tuple(kinds)
            case "submit", [payload]:
                cluster.submit(payload.encode())
            case "run", [duration_ms]:
                cluster.run(int(duration_ms))
            case "crash", names:
                cluster.crash(*names)
            case "restart", names:
                cluster.restart(*names)
            case "show", [what]:
                return self._show(what)
            case _:
                self._do_harm(command, words)
        return []

    def _build(self, options: dict[str, str]) -> None:
        config = config_of(**{k: int(v) for k, v in options.items() if k not in ("nodes", "latency")})
        latency = int(options.get("latency", 1))
        self.cluster = Cluster(int(options.get("nodes", 4)), config=config, latency_ms=(latency, latency))
        self.cluster.start()
        self.cluster.filter = self._passes

    def _do_harm(self, command: str, words: list[str]) -> None:
        cluster = self.cluster
        match command, words:
            case "drop", [sources, targets, kind]:  # message kind or "*", until heal
                self.dropped.append((sources, targets, kind))
            case "partition", groups:
                self.groups = groups
            case "heal", []:
                self.dropped, self.groups = [], []
            case "skew", [name, skew_ms]:
                cluster.node(name).clock_skew_ms = int(skew_ms)
            case "wipe", [name]:  # the data directory is lost; the key folder with the guard is not
                node = cluster.node(name)
                node.disk = Disk(guard=node.disk.guard)
            case "miscompute", [name]:
                cluster.node(name).header_salt = name.encode()
            case "withhold", [name, payload]:
                cluster.node(name).unavailable[payload.encode()] = True
            case "mute-headers", names:
                self.dropped.extend((name, "*", "HeaderSignature") for name in names)
            case "equivocate", [name, targets]:
                self._equivocate(cluster.node(name), targets)
            case _:
                raise ValueError(f"no such command: {command} {words}")

    def _passes(self, source: Node, target: Node, message: Message) -> bool:
        if self.groups and not any(source.name in g and target.name in g for g in self.groups):
            return False
        kind = type(message).__name__
        return not any(
            (source.name in sources or sources == "*")
            and (target.name in targets or targets == "*")
            and dropped in (kind, "*")
            for sources, targets, dropped in self.dropped
        )

    def _equivocate(self, node: Node, targets: str) -> None:
        """The node's next proposal gets a twin with another time, which these nodes see first."""
        cluster = self.cluster
        cluster.byzantine[int(node.index)] = True
        honest: Callable[[Node, Message], None] = cluster.broadcast

        def broadcast(source: Node, message: Message) -> None:
            if source is node and isinstance(message, Proposal):
                cluster.broadcast = honest  # type: ignore[method-assign]  # a Byzantine driver, once
                twin = _twin_of(message, node.key)
                cluster.note(f"{node.name} proposes a twin of {cluster.label(message.block)} to {targets}")
                for name in targets:
                    cluster.send(node, cluster.node(name).peer, twin)
            honest(source, message)

        cluster.broadcast = broadcast  # type: ignore[method-assign]  # a Byzantine driver, once

    def _show(self, what: str) -> list[str]:
        lines = []
        for node in self.cluster.nodes:
            if not node.up:
                lines.append(f"{node.name}: down")
                continue
            view = node.replica.view()
            match what:
                case "status":
                    lines.append(
                        f"{node.name}: round {view.round}, committed {view.committed_height}, "
                        f"certified {view.certified_height}"
                    )
                case "signing":
                    record = node.disk.record
                    assert record is not None
                    lines.append(
                        f"{node.name}: {node.admitted.kind.value}, voted {record.last_voted_round}, "
                        f"locked {record.locked_round}, floor {view.floor_round}/{view.floor_height}"
                    )
                case "backoff":
                    lines.append(f"{node.name}: {view.failed_rounds} failed, {view.round_timeout_ms} ms")
                case "traffic":
                    pass
                case _:
                    raise ValueError(what)
        if what == "traffic":
            lines = [f"{kind}: {count}" for kind, count in sorted(self.cluster.sent.items())]
            self.cluster.sent.clear()
        return lines

    def news(self) -> list[str]:
        """The trace since last asked: same moment and same deed in one line."""
        fresh = self.cluster.trace[self.read :]
        self.read = len(self.cluster.trace)
        merged: dict[tuple[str, str], list[str]] = {}
        for line in fresh:
            moment, name, deed = line.split(" ", 2)
            if not any(deed.startswith(hidden) for hidden in self.hidden):
                merged.setdefault((moment, deed), []).append(name)
        return [f"{int(moment):>5} {''.join(names):<4} {deed}" for (moment, deed), names in merged.items()]


def _twin_of(proposal: Proposal, key: SigningKey) -> Proposal:
    block = proposal.block
    twin = Block.make(
        cluster_id=CLUSTER_ID,
        epoch=block.epoch,
        round=block.round,
        qc=block.qc,
        tc=block.tc,
        certified=block.certified,
        payload=block.payload,
        author=block.author,
        time_ms=block.time_ms + 1,
        standing=block.standing,
    )
    return Proposal(twin, key.sign(proposal_digest(CLUSTER_ID, twin.epoch, twin.round, twin.id)))


def play(text: str) -> str:
    """The file with the traces that its commands give now."""
    script = Script()
    lines: list[str] = []
    commands: list[str] = []
    in_trace = False
    for line in text.splitlines():
        if line == "----":
            printed = [shown for command in commands for shown in script.do(command)]
            lines.extend(("----", *script.news(), *printed))
            commands, in_trace = [], True
        elif line == "":
            lines.append("")
            in_trace = False
        elif not in_trace:
            lines.append(line)
            if not line.startswith("#"):
                commands.append(line)
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_recorded_interaction_happens_again(path: Path, rewrite: bool) -> None:
    text = path.read_text()
    played = play(text)
    if rewrite:
        path.write_text(played)
    else:
        assert played == text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_tells_its_story_in_a_page(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# ")
    assert len(lines) < LINES_MAX, f"{len(lines)} lines"
    assert "----" in lines


def test_a_changed_trace_is_noticed() -> None:
    played = play(FILES[0].read_text())
    assert play(played.replace("----", "----\nwhat never happened")) == played
