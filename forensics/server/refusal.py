"""Why a request was not served: a status, and the same three sentences as the command line's."""

from __future__ import annotations

import math
from collections.abc import Mapping

from forensics.errors import ForensicsError


class Refusal(ForensicsError):
    """A request that ends in an error answer.

    Args:
        status: the HTTP status, 400 to 599.
        what: what happened.
        why: the cause, with the limit or value concerned.
        todo: what the sender can do about it.
        headers: more headers of the answer.
    """

    def __init__(
        self,
        status: int,
        what: str,
        why: str = "",
        todo: str = "",
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(what, why, todo)
        self.status = status
        self.headers = dict(headers or {})

    def body(self) -> dict[str, object]:
        """The answer's JSON."""
        return {"what": self.what, "why": self.why, "todo": self.todo}


def later(status: int, what: str, why: str, seconds: float) -> Refusal:
    """Come again: clients of OpenLineage do, when ``Retry-After`` stands there."""
    wait = max(1, math.ceil(seconds))
    return Refusal(
        status, what, why, f"Send it again in {wait} s.", headers={"Retry-After": str(wait)}
    )


def too_large(what: str, size: int | None, limit: int) -> Refusal:
    """A body beyond the limit; ``size`` where it is known."""
    had = f"{size:,} bytes" if size is not None else "more"
    return Refusal(
        413,
        f"The {what} is too large.",
        f"It has {had}; the limit is {limit:,} bytes.",
        "Send fewer records at a time, or raise --request-mb.",
    )
