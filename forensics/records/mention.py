"""Whether an id stands in received bytes, as a word of its own."""

from __future__ import annotations

import re

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_CONTROLS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
#: JSON lies within text of JSON, and that within such text, so many times at most.
_WITHIN_MAX = 4


class Mention:
    r"""An id that is looked for in bytes of JSON, or of what should have been JSON.

    A letter, digit, ``_`` or ``-`` beside it makes it part of another word: ``s-1`` does not stand
    in ``s-10``. What JSON writes with a backslash counts as what it means.

    >>> Mention("s-1").stands_in(rb'"asked\ns-1"'), Mention("s-1").stands_in(b'"s-10"')
    (True, False)
    """

    def __init__(self, id_: str) -> None:
        self._word = re.compile(rf"(?<![\w-]){re.escape(id_)}(?![\w-])")
        # What a backslash is beside is told once it is taken for what it means.
        self._as_it_is = re.compile(rf"(?<![\w\\-]){re.escape(id_)}(?![\w\\-])")

    def stands_in(self, data: bytes) -> bool:
        """Whether the id stands in some bytes, as it is or as JSON may write it."""
        text = data.decode("utf-8", "replace")
        if self._as_it_is.search(text):
            return True
        for _ in range(_WITHIN_MAX):
            if "\\" not in text:
                return False
            text = _meant(text)
            if self._word.search(text):
                return True
        return False


def _meant(text: str) -> str:
    """Text in which what is written with a backslash gives way to what it means."""

    def one(found: re.Match[str]) -> str:
        digits, letter = found.groups()
        return chr(int(digits, 16)) if digits else _CONTROLS.get(letter, letter)

    meant = _ESCAPE.sub(one, text)
    # A letter beyond the first 65,536 is written as two.
    return meant.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
