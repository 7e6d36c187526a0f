"""The exit codes, once: scripts may rely on every number here."""

from enum import IntEnum


class Exit(IntEnum):
    """What the process answers to the shell; `meaning` is what `isthmus explain` prints."""

    OK = 0
    NEGATIVE = 1
    USAGE = 2
    NOT_REACHABLE = 3
    REFUSED = 4
    CONFIGURATION = 5
    KEYS = 6
    STORAGE = 7
    TIMEOUT = 8
    PORT_IN_USE = 9
    CHILD_DIED = 10
    BUG = 70
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        """One sentence, with the way out where there is one."""
        return _MEANINGS[self]


_MEANINGS = {
    Exit.OK: "Done.",
    Exit.NEGATIVE: "The answer is no: a proof did not verify, a record is absent, a node is not ready.",
    Exit.USAGE: "The command line was not understood; --help shows the arguments.",
    Exit.NOT_REACHABLE: "No node answered at the address; check that it runs and that the address is right.",
    Exit.REFUSED: "The ledger or the node refused the request; the message says what to change.",
    Exit.CONFIGURATION: "config.toml, genesis.json, the environment or the home folder is wrong.",
    Exit.KEYS: "A key or the guard is missing, readable by others, damaged, or used by another process.",
    Exit.STORAGE: "The disk is full, a file is damaged or cannot be written.",
    Exit.TIMEOUT: "The time was over before the answer was certain; what was sent may still take effect.",
    Exit.PORT_IN_USE: "Another process listens on the port; stop it or choose another port.",
    Exit.CHILD_DIED: "A daemon of the local testnet ended by itself; its log says why.",
    Exit.BUG: "A fault of Isthmus itself; please report it together with the log file that was named.",
    Exit.INTERRUPTED: "Stopped by Ctrl-C.",
}
