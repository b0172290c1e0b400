"""Commands that answer for one decision or for all of a window: which of both is asked for."""

from __future__ import annotations

import click

from forensics.errors import UsageError


def require_one(request_id: str | None, decision_point: str | None, example: str) -> None:
    """Have either a decision or a decision point named; ``example`` shows both.

    Raises:
        UsageError: when neither is, or both are.
    """
    if (request_id is None) == (decision_point is None):
        raise UsageError("Name one decision, or a decision point.", "", example)


def refuse_unused(ctx: click.Context, names: tuple[str, ...], *, is_one: bool) -> None:
    """Refuse options that would be without effect on what was asked for.

    Args:
        ctx: the command's.
        names: the options, as the command's parameters are called.
        is_one: one decision was asked for, not a window.

    Raises:
        UsageError: when one of ``names`` was given.
    """
    for name in names:
        if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
            option = name.removesuffix("_s").replace("_", "-")
            what = "a window: --decision-point NAME" if is_one else "one decision"
            raise UsageError(f"--{option} is for {what}.")
