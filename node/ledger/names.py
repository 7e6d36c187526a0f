"""The form of names that people choose: of organisations, members, roles, clusters and applications.

Names are compared and sorted as bytes by every replica and shown in terminals, so they are plain:
lower-case letters, digits, `.`, `_` and `-`, starting with a letter or digit, 1 to 64 characters.
"""

import re

NAME_CHARACTERS_MAX = 64
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def check_name(text: object, what: str) -> str:
    """`text` when it is a plain name. Raises ValueError naming `what` and the rule."""
    if type(text) is not str or _NAME.fullmatch(text) is None:
        raise ValueError(
            f"{what} {text!a:.80} must be 1 to {NAME_CHARACTERS_MAX} characters of a-z, 0-9, '.', '_', '-' "
            "and start with a letter or digit"
        )
    return text
