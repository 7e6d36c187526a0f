"""What can be wrong with the files that operators make and use: backups, chain files, safety files."""


class MaintenanceError(Exception):
    """It cannot be done as asked; the sentence says what to do instead. `code` is stable."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(code, sentence)
        self.code = code
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence


class SafetyRefused(MaintenanceError):
    """A validator's right to sign cannot be moved like this."""
