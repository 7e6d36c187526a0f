"""Which error ends in which exit code, by name: the table costs no import of what it names.

Every error of ours that is the user's to solve carries its sentence already; this file only decides the
number a script sees. What is not in the table is our bug.
"""

from dataclasses import dataclass

from node.cli.exits import Exit
from node.cli.filefaults import file_fault, sentence

EXITS: dict[str, Exit] = {
    "node.cli.failures.Failure": Exit.BUG,
    "node.config.ConfigError": Exit.CONFIGURATION,
    "node.home.HomeError": Exit.CONFIGURATION,
    "node.home.KeyFileError": Exit.KEYS,
    "node.storage.StorageError": Exit.STORAGE,
    "node.storage.StoreForeign": Exit.CONFIGURATION,
    "node.daemon.segment.JournalForeign": Exit.CONFIGURATION,
    "node.daemon.keylock.KeyInUse": Exit.KEYS,
    "node.daemon.keylock.KeyUnreadable": Exit.KEYS,
    "node.daemon.guardfile.GuardMissing": Exit.KEYS,
    "node.daemon.guardfile.GuardCorrupt": Exit.KEYS,
    "node.daemon.guardfile.GuardForeign": Exit.KEYS,
    "node.daemon.guardfile.GuardExists": Exit.KEYS,
    "node.genesis.GenesisError": Exit.CONFIGURATION,
    "node.ceremony.CeremonyError": Exit.CONFIGURATION,
    "node.ledger.features.UpgradeNeeded": Exit.CONFIGURATION,
    "node.ledger.codes.RejectedTransaction": Exit.REFUSED,
    "node.api.faults.PortInUse": Exit.PORT_IN_USE,
    "node.api.exchange.NotReachable": Exit.NOT_REACHABLE,
    "node.api.exchange.UnexpectedAnswer": Exit.NOT_REACHABLE,
    "node.api.exchange.ApiError": Exit.REFUSED,
    "node.api.exchange.StillPending": Exit.TIMEOUT,
    "node.api.exchange.NotTrusted": Exit.NEGATIVE,
    "node.daemon.startup.StartupError": Exit.CONFIGURATION,
    "node.daemon.maintenance.MaintenanceError": Exit.STORAGE,
    "node.daemon.maintenance.SafetyRefused": Exit.KEYS,
    "node.local.demo.DemoFailed": Exit.NEGATIVE,
    "node.local.inventory.InventoryError": Exit.USAGE,
    "node.local.testnet.TestnetError": Exit.CONFIGURATION,
    "node.local.supervisor.ProgramDied": Exit.CHILD_DIED,
    "p2p.errors.ConfigError": Exit.CONFIGURATION,
    "p2p.errors.PortInUse": Exit.PORT_IN_USE,
    "builtins.KeyboardInterrupt": Exit.INTERRUPTED,
}
"""Full class name -> exit code; a subclass that is not named has its base's."""


_ABSENT = "not-found"
"""The API's name for what is not there: a negative answer, no refusal."""


class Failure(Exception):
    """A command's own way to end: an exit code, a sentence and, where one helps, the way out."""

    def __init__(self, exit_code: Exit, message: str, hint: str = "") -> None:
        super().__init__(exit_code, message, hint)
        self.exit_code = exit_code
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Told:
    """An error as people and scripts see it."""

    exit_code: Exit
    message: str
    hint: str = ""
    name: str = ""
    """The stable code of the cause, where it is narrower than the exit code."""

    def as_json(self) -> dict[str, object]:
        """The one shape of an error under --json."""
        error = {"code": self.exit_code.name.lower(), "message": self.message, "hint": self.hint}
        if self.name:
            error["name"] = self.name
        return {"error": error, "exit": int(self.exit_code)}


def explain(error: BaseException) -> Told | None:
    """What to tell about an error, or None when it is a bug of ours."""
    error = root_of(error)
    if isinstance(error, Failure):
        return Told(error.exit_code, error.message, error.hint)
    if getattr(error, "name", None) == _ABSENT:
        return Told(Exit.NEGATIVE, str(error))
    for base in type(error).__mro__:
        exit_code = EXITS.get(f"{base.__module__}.{base.__qualname__}")
        if exit_code is not None:
            message, hint = str(error) or "interrupted", str(getattr(error, "hint", ""))
            return Told(exit_code, message, "" if hint in message else hint, _name_of(error))
    fault = file_fault(error) if isinstance(error, OSError) else None
    if isinstance(error, OSError) and fault is not None:
        return Told(fault.exit_code, sentence(error, fault), fault.way_out, fault.name)
    return None


def _name_of(error: BaseException) -> str:
    """The name under which the catalogue knows it: what its code says where that is a word."""
    words = (getattr(error, attribute, None) for attribute in ("code", "name"))
    return next((word.replace("_", "-") for word in words if isinstance(word, str)), "")


def root_of(error: BaseException) -> BaseException:
    """The first error inside a group, an interruption only when there is nothing else in it."""
    leaves = _leaves(error)
    return next((leaf for leaf in leaves if not isinstance(leaf, KeyboardInterrupt)), leaves[0])


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]
