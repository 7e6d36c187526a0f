"""Arguments that are hashes: 64 hexadecimal digits on the command line, 32 bytes inside."""

import click

HASH_BYTES = 32


class HashType(click.ParamType[bytes]):
    """A SHA-256 of 64 hexadecimal digits, as bytes."""

    name = "hash"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        """Raises a usage error for anything else."""
        if isinstance(value, bytes):
            return value
        try:
            found = bytes.fromhex(str(value))
        except ValueError:
            found = b""
        if len(found) != HASH_BYTES:
            self.fail(f"a hash has 64 hexadecimal digits, not {value!r}", param, ctx)
        return found


class CheckpointType(click.ParamType[tuple[int, bytes]]):
    """HEIGHT:HASH of a header."""

    name = "height:hash"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, bytes]:
        """Raises a usage error for anything else."""
        height, _, text = str(value).partition(":")
        if not height.isdecimal():
            self.fail(f"a checkpoint is HEIGHT:HASH, not {value!r}", param, ctx)
        return int(height), HashType().convert(text, param, ctx)
