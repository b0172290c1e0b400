"""Who may send what: tokens with scopes, known by their SHA-256 alone, each with its rate."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from forensics.errors import UsageError
from forensics.server.refusal import Refusal, later

SCOPES = ("lineage", "decisions", "changes", "records", "metrics")
_EXAMPLE = (
    'Write [[token]] with name = "scorer", sha256 = "…" and scopes = ["decisions"] for each; '
    "see docs/how-to/receive-over-http.md."
)
#: A bucket holds what may be sent in so many seconds.
_BURST_SECONDS = 2.0


class Bucket:
    """A token bucket that may go into debt: a request is weighed once its records are counted."""

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self._level = per_second * _BURST_SECONDS
        self._at = time.monotonic()

    def wait_seconds(self) -> float:
        """How long until the next request may come; 0 for now."""
        now = time.monotonic()
        full = self.per_second * _BURST_SECONDS
        self._level = min(full, self._level + (now - self._at) * self.per_second)
        self._at = now
        return 0.0 if self._level > 0 else -self._level / self.per_second

    def take(self, records: int) -> None:
        """Weigh a request that has come."""
        self._level -= max(1, records)


@dataclass(frozen=True, slots=True)
class Token:
    """One sender. Without a digest it is whoever can reach the loopback address."""

    name: str
    sha256: bytes
    scopes: frozenset[str]
    bucket: Bucket = field(compare=False)

    def admit(self, scope: str) -> None:
        """Let a request through.

        Raises:
            Refusal: 403 when the scope is not this sender's, 429 when it is too fast.
        """
        if scope not in self.scopes:
            raise Refusal(
                403,
                f"The token {self.name!r} may not do this.",
                f"It has the scopes {', '.join(sorted(self.scopes))}; this needs {scope}.",
                "Use another token, or let the operator add the scope.",
            )
        if wait := self.bucket.wait_seconds():
            raise later(
                429,
                f"The token {self.name!r} sends too fast.",
                f"Its limit is {self.bucket.per_second:,.0f} records a second.",
                wait,
            )


def anyone(records_per_second: float) -> Token:
    """The sender where no tokens are asked for."""
    return Token("anyone", b"", frozenset(SCOPES), Bucket(records_per_second))


def find(tokens: Sequence[Token], authorization: str | None) -> Token:
    """The sender that an ``Authorization`` header names.

    Every digest is compared, each in constant time, so that the time of the answer says nothing.

    Raises:
        Refusal: 401 when the header is missing, malformed or of no token.
    """
    scheme, _, presented = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not presented.strip():
        raise _unknown("No token came with the request.")
    digest = hashlib.sha256(presented.strip().encode()).digest()
    found = None
    for token in tokens:
        if hmac.compare_digest(token.sha256, digest):
            found = token
    if found is None:
        raise _unknown("The token is none of this server's.")
    return found


def _unknown(what: str) -> Refusal:
    return Refusal(
        401,
        what,
        "This server asks for a token.",
        "Send the header: Authorization: Bearer TOKEN",
        headers={"WWW-Authenticate": 'Bearer realm="forensics"'},
    )


def load(path: Path, records_per_second: float) -> tuple[Token, ...]:
    """Tokens from a TOML file.

    Args:
        path: the file; see the how-to for its form.
        records_per_second: the limit of a token that names none.

    Raises:
        UsageError: when it cannot be read or an entry in it is wrong.
    """
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("token", [])
    except OSError as error:
        raise UsageError(f"{path} cannot be read.", f"{error.strerror}.") from error
    except ValueError as error:  # TOML's errors and Unicode's alike
        raise UsageError(f"{path} cannot be read.", f"{error}.", _EXAMPLE) from error
    if not isinstance(entries, list) or not entries:
        raise UsageError(f"{path} names no tokens.", "", _EXAMPLE)
    tokens = tuple(
        _token(path, number, entry, records_per_second) for number, entry in enumerate(entries, 1)
    )
    for what, values in (
        ("name", [t.name for t in tokens]),
        ("sha256", [t.sha256 for t in tokens]),
    ):
        if len(set(values)) < len(values):
            raise UsageError(f"{path}: two tokens have the same {what}.", "", _EXAMPLE)
    return tokens


def _token(path: Path, number: int, entry: Any, records_per_second: float) -> Token:
    def wrong(why: str) -> UsageError:
        return UsageError(f"{path}: token {number} is wrong.", why, _EXAMPLE)

    if not isinstance(entry, dict):
        raise wrong("It is no table.")
    unknown = entry.keys() - {"name", "sha256", "scopes", "records_per_second"}
    if unknown:
        raise wrong(f"It has the unknown field {min(unknown)!r}.")
    name, digest, scopes = entry.get("name"), entry.get("sha256"), entry.get("scopes")
    if not isinstance(name, str) or not re.fullmatch(r"[\w.-]{1,64}", name, re.ASCII):
        raise wrong("Its name must be letters, digits, dots, dashes and underscores, at most 64.")
    if not isinstance(digest, str) or not re.fullmatch(r"[0-9a-fA-F]{64}", digest):
        raise wrong("Its sha256 must be 64 hexadecimal digits.")
    if digest.lower() == hashlib.sha256(b"").hexdigest():
        raise wrong("Its sha256 is that of nothing.")
    if not isinstance(scopes, list) or not scopes or not set(map(str, scopes)) <= set(SCOPES):
        raise wrong(f"Its scopes must be a list of {', '.join(SCOPES)}.")
    rate = entry.get("records_per_second", records_per_second)
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < 1e9:
        raise wrong("Its records_per_second must be a number above 0.")
    return Token(name, bytes.fromhex(digest), frozenset(map(str, scopes)), Bucket(float(rate)))
