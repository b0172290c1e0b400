"""Options that several commands have, and how a lake and a time are named."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

from forensics.errors import LakeError

F = TypeVar("F", bound=Callable[..., Any])


def lake_path(given: Path | None) -> Path:
    """The lake's folder: the option, the environment, the config file, ``./lake``."""
    context = click.get_current_context(silent=True)
    before = context.find_root().params.get("lake") if context is not None else None
    if given is not None:
        return given
    if before is not None:
        return Path(before)
    if named := os.environ.get("FORENSICS_LAKE"):
        return Path(named)
    if lake := config().get("lake"):
        return Path(str(lake)).expanduser()
    return Path("lake")


def config() -> dict[str, Any]:
    """What the config file says; nothing where there is none.

    Raises:
        LakeError: when it is no TOML.
    """
    path = _config_file()
    if not path.is_file():
        return {}
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LakeError(f"{path} cannot be read.", f"{error}.", "Mend or remove it.") from None


def _config_file() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME")
    folder = Path(base) if base else Path.home() / ".config"
    return folder / "decision-forensics" / "config.toml"


_UNITS = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86_400, "day": 86_400, "days": 86_400,
          "w": 604_800}  # fmt: skip
_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|days?|d|w)(?:\s+ago)?")


class Time(click.ParamType[datetime]):
    """A time in UTC: ISO 8601, or an age such as ``2h ago``."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Parse ``value``; a time without a zone is UTC, a date its first moment."""
        if isinstance(value, datetime):
            return value
        text = str(value).strip()
        if text == "now":
            return datetime.now(UTC)
        try:
            if age := _AGO.fullmatch(text):
                return datetime.now(UTC) - timedelta(seconds=float(age[1]) * _UNITS[age[2]])
            time = datetime.fromisoformat(text)
            return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(
                f"{text!r} is no time; use 2026-10-21T02:13Z, a date, or '2h ago'.", param, ctx
            )


TIME = Time()


def together(*options: Callable[[Any], Any]) -> Callable[[F], F]:
    """Several options as one decorator, in the order of the help."""

    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


lake_option = click.option(
    "--lake",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The lake; else $FORENSICS_LAKE, else `lake` in the config file, else ./lake.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
point_option = click.option(
    "--decision-point", "--point", metavar="NAME", help="Only this decision point."
)
since_option = click.option(
    "--since", type=TIME, help="From this time on: ISO 8601 in UTC, or `2h ago`."
)
times_options = together(since_option, click.option("--until", type=TIME, help="Before this time."))
#: A window of decisions that are run again: point, times, condition and how many.
window_options = together(
    click.option(
        "--decision-point", "--point", metavar="NAME", help="All decisions of this point."
    ),
    times_options,
    click.option(
        "--where", metavar="SQL", help="Only decisions for which this is true; see forensics find."
    ),
    click.option(
        "--limit", type=click.IntRange(min=1), help="At most N decisions, oldest files first."
    ),
)
workers_option = click.option(
    "--workers", type=click.IntRange(1, 64), help="Threads; by default one per core."
)
counterfactuals_option = click.option(
    "--counterfactuals",
    type=click.IntRange(0, 20),
    default=1,
    show_default=True,
    help="How many changes that flip the outcome to show.",
)
#: How principal reasons are found and worded.
reason_options = together(
    click.option(
        "--templates",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="The words for principal reasons: reasons.toml.",
    ),
    click.option(
        "--reference",
        metavar="DIGEST|FILE",
        help="The population that reasons are relative to; else the one that the templates name.",
    ),
    click.option(
        "--adverse",
        multiple=True,
        metavar="OUTCOME",
        help="An adverse outcome; may be given again. Else those that the templates name.",
    ),
)
count_option = click.option(
    "--count",
    "counts",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="What a gateway or service counted: CSV, JSON lines, Prometheus text with times, or the "
    "JSON of its query_range. May be repeated.",
)
#: What an audit compares with, and what it requires.
audit_options = together(
    count_option,
    click.option("--metric", metavar="NAME", help="The counter's name, where a FILE has several."),
    click.option(
        "--require",
        type=click.Choice(["C0", "C1", "C2"]),
        help="Exit with status 4 when a decision is below this class.",
    ),
)
