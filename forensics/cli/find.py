"""``forensics find``."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forensics.cli import diagnostics, output
from forensics.cli.options import json_option, lake_option, lake_path, point_option, times_options
from forensics.errors import UsageError
from forensics.records.csvtext import csv_line
from forensics.records.plural import count_of
from forensics.records.safe_text import safe_text

if TYPE_CHECKING:
    from forensics.api import Found, Lake, Query
    from forensics.lake.counting import Tally

_LIMIT = 100


@click.command("find")
@point_option
@times_options
@click.option("--subject", metavar="ID", help="Only decisions about this subject.")
@click.option("--outcome", metavar="TEXT", help="Only this outcome.")
@click.option("--model-version", metavar="TEXT", help="Only decisions of this model version.")
@click.option("--environment", metavar="NAME", help="production, canary, shadow, …")
@click.option(
    "--where",
    metavar="SQL",
    help="Any SQL expression over fields and features, e.g. 'utilisation_3m > 5 and score < 0.6'.",
)
@click.option("--limit", type=click.IntRange(min=1), help=f"At most N; {_LIMIT} on a terminal.")
@click.option("--oldest", "oldest_first", is_flag=True, help="Oldest first; else newest first.")
@click.option("--count", is_flag=True, help="Only count: decisions, subjects and outcomes.")
@click.option("--features", is_flag=True, help="Answer every feature too (JSON, CSV, Parquet).")
@click.option("--csv", "as_csv", is_flag=True, help="Answer as CSV.")
@click.option(
    "--parquet", "parquet", type=click.Path(path_type=Path), metavar="FILE", help="Write Parquet."
)
@lake_option
@json_option
def command(
    decision_point: str | None,
    since: datetime | None,
    until: datetime | None,
    subject: str | None,
    outcome: str | None,
    model_version: str | None,
    environment: str | None,
    where: str | None,
    limit: int | None,
    oldest_first: bool,
    count: bool,
    features: bool,
    as_csv: bool,
    parquet: Path | None,
    lake: Path | None,
    as_json: bool,
) -> None:
    """Find decisions by point, time, subject, outcome, model version or any expression.

    A table for people, JSON lines with --json, CSV with --csv, a Parquet file with --parquet, and
    with --count only how many there are, about how many subjects, and with which outcomes.
    Nothing found is an answer: exit status 0.
    """
    from forensics.api import Query, open_lake
    from forensics.lake.find import with_features

    if count and (as_csv or features or limit or parquet is not None):
        todo = "Leave --csv, --parquet, --features and --limit out."
        raise UsageError("--count only counts.", "", todo)
    if as_json + as_csv + (parquet is not None) > 1:
        raise UsageError("Use one of --json, --csv and --parquet.", "An answer has one form.")
    whole = as_json or as_csv or count or parquet is not None
    if not whole and features:
        raise UsageError("--features needs --json, --csv or --parquet.", "A screen is too narrow.")
    query = Query(
        decision_point, since, until, subject, outcome, model_version, environment, where,
        limit if whole or limit else _LIMIT + 1, oldest_first, features,
    )  # fmt: skip
    asked = open_lake(lake_path(lake))
    found = asked.find(query)
    if count:
        _counted(found.count(), as_json=as_json)
    elif parquet is not None:
        _parquet(found, parquet)
    elif as_json:
        for row in found:
            output.record(with_features(row))
    elif as_csv:
        _csv(map(with_features, found), _feature_names(asked, query) if features else [])
    else:
        _table(list(found), limit)


def _counted(found: Tally, *, as_json: bool) -> None:
    if as_json:
        output.value(found.to_dict())
        return
    from forensics.report.words import time_words

    output.text(
        f"{count_of(found.decisions, 'decision')} about {count_of(found.subjects, 'subject')}"
    )
    if found.without_subject:
        output.text(f"{found.without_subject:,} of them name no subject")
    if found.first is not None and found.last is not None:
        output.text(f"from {time_words(found.first)} to {time_words(found.last)}")
    width = len(f"{found.decisions:,}")
    for outcome, number in found.outcomes.items():
        output.text(f"{number:>{width},}  {number / found.decisions:>6.1%}  {safe_text(outcome)}")


def _parquet(found: Found, path: Path) -> None:
    try:
        count = found.write_parquet(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written.", f"{error}.") from error
    diagnostics.note(f"{count_of(count, 'decision')} in {path}")


def _feature_names(lake: Lake, query: Query) -> list[str]:
    """Features of all decision points that the answer may hold."""
    snapshot = lake.snapshot()
    points = [query.decision_point] if query.decision_point else snapshot.points()
    named = (name for point in points for name in snapshot.tables[f"decisions/{point}"].features)
    return list(dict.fromkeys(named))


def _csv(rows: Iterable[dict[str, Any]], features: list[str]) -> None:
    names: list[str] | None = None
    for row in rows:
        inputs = row.pop("features", None) or {}
        if names is None:
            names = list(row)
            _csv_line([*names, *(f"features.{name}" for name in features)])
        _csv_line([row.get(name) for name in names] + [inputs.get(name) for name in features])


def _csv_line(values: Iterable[Any]) -> None:
    line = csv_line(values)
    output.text(safe_text(line) if output.is_terminal() else line)


def _table(rows: list[dict[str, Any]], limit: int | None) -> None:
    from forensics.report.text import table
    from forensics.report.words import number_words, time_words

    more = limit is None and len(rows) > _LIMIT
    rows = rows[:_LIMIT] if more else rows
    if not rows:
        diagnostics.note("No decision matches.")
        return
    head = ("time", "request", "point", "outcome", "score", "model", "environment", "subject")
    body = [
        (
            time_words(row["occurred_at"]).removesuffix(" UTC"),
            row["request_id"],
            row["decision_point"],
            row["outcome"],
            number_words(row["score"]) if row["score"] is not None else "",
            " ".join(str(row[key]) for key in ("model", "model_version") if row[key]),
            row["environment"],
            row["subject"] or "",
        )
        for row in rows
    ]
    output.lines(table([head, *body], output.table_width()))
    if more:
        diagnostics.note(f"The newest {_LIMIT} are shown; there are more: --limit N, or --json.")
