"""``forensics whatif``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forensics.cli import diagnostics, output
from forensics.cli.exit_codes import ExitCode
from forensics.cli.one_or_window import refuse_unused, require_one
from forensics.cli.options import (
    json_option,
    lake_option,
    lake_path,
    window_options,
    workers_option,
)
from forensics.errors import UsageError
from forensics.records.plural import count_of

if TYPE_CHECKING:
    from forensics.api import Lake

#: Options that concern a window alone, as click knows them.
_OF_MANY = ("since", "until", "where", "limit", "by", "workers", "export")
_EXAMPLE = "forensics whatif REQUEST_ID --set NAME=VALUE, or with --decision-point NAME --since T"


@click.command("whatif")
@click.argument("request_id", required=False)
@window_options
@click.option(
    "--model",
    metavar="NAME@VERSION|DIGEST|FILE",
    help="Another model; versions are known from changes and recorded decisions.",
)
@click.option(
    "--config", metavar="NAME@REVISION|DIGEST|FILE", help="Another configuration as a whole."
)
@click.option(
    "--rules", metavar="NAME@VERSION|DIGEST|FILE", help="Another rule set or decision logic."
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Another value of the configuration or of a feature: a number, text, true, false, null. "
    "`config.NAME` and `features.NAME` tell them apart; `features.NAME=` may be followed by an SQL "
    "expression over features and configuration. Repeatable.",
)
@click.option(
    "--find",
    is_flag=True,
    help="Of one decision: find the nearest changes that give another outcome.",
)
@click.option(
    "--target",
    multiple=True,
    metavar="OUTCOME",
    help="With --find: an outcome that is wanted.",
)
@click.option(
    "--time",
    "time_s",
    type=click.FloatRange(0.01, 3600),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="With --find: how much to look, and to prove that nothing is nearer, in seconds of an "
    "idle core. Work is counted, not time, so that the answer is the same on every machine.",
)
@click.option(
    "--by",
    multiple=True,
    metavar="FIELD",
    help="Group by this field or feature; numbers are cut at quantiles. Repeatable.",
)
@workers_option
@click.option(
    "--export",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="List the changed decisions in FILE.csv or FILE.parquet.",
)
@lake_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    request_id: str | None,
    decision_point: str | None,
    lake: Path | None,
    as_json: bool,
    by: tuple[str, ...],
    export: Path | None,
    find: bool,
    target: tuple[str, ...],
    time_s: float,
    **options: Any,
) -> None:
    """What another model, configuration, rule set or input would have done.

    REQUEST_ID is a request id or a decision id: the answer is that decision before and after, step
    by step; with --find it is the nearest changes that give another outcome. With --decision-point
    it is the blast radius over a window: how many outcomes change, in which direction, in which
    groups, and where the evidence ends. Changes can be combined.

    Exit status 0 when every decision is answered for, 4 when some are not, 3 when there is none, 5
    when a data file or a record is not what was written.
    """
    from forensics.api import open_lake

    require_one(request_id, decision_point, _EXAMPLE)
    change = {name: options.pop(name) for name in ("model", "config", "rules", "settings")}
    with open_lake(lake_path(lake)) as opened:
        if find:
            status = _find(opened, request_id, as_json, any(change.values()), target, time_s)
        elif request_id is not None:
            refuse_unused(ctx, _OF_MANY, is_one=True)
            status = _one(opened, request_id, as_json, change)
        else:
            assert decision_point is not None
            status = _many(
                opened, decision_point, as_json, export, by=by or None, **options, **change
            )
    ctx.exit(status)


def _find(
    lake: Lake,
    request_id: str | None,
    as_json: bool,
    changed: bool,
    target: tuple[str, ...],
    time_s: float,
) -> ExitCode:
    if request_id is None or changed:
        raise UsageError(
            "--find looks for the changes of one decision as it was.",
            "A window has no single nearest change, and other changes cannot be combined with it.",
            "forensics whatif REQUEST_ID --find",
        )
    from forensics.report.explanation import found_changes

    found = lake.explain(request_id, counterfactuals=3, target=target, time_s=time_s)
    for number, answer in enumerate(found):
        if as_json:
            whole = answer.to_dict()
            names = ("request_id", "decision", "counterfactuals", "counterfactual_search")
            said = {name: whole[name] for name in names}
            (output.value if len(found) == 1 else output.record)(said)
            continue
        if number:
            output.text()
        output.lines(found_changes(answer, output.width()))
    searched = all(answer.counterfactuals is not None for answer in found)
    return ExitCode.ANSWERED if searched else ExitCode.INCOMPLETE


def _one(lake: Lake, request_id: str, as_json: bool, change: dict[str, Any]) -> ExitCode:
    from forensics.report.blast import one

    found = lake.whatif(request_id, **change)
    for number, answer in enumerate(found):
        if as_json:
            (output.value if len(found) == 1 else output.record)(answer.to_dict())
            continue
        if number:
            output.text()
        output.lines(one(answer, output.width()))
    answered = all(answer.answer.is_answered for answer in found)
    return ExitCode.ANSWERED if answered else ExitCode.INCOMPLETE


def _many(
    lake: Lake, decision_point: str, as_json: bool, export: Path | None, **options: Any
) -> ExitCode:
    from forensics.report.blast import screen

    with diagnostics.Progress(f"whatif {decision_point}") as progress:
        found = lake.whatif(
            decision_point=decision_point, export=export, progress=progress.share, **options
        )
    if export is not None:
        diagnostics.note(f"{count_of(found.changed, 'decision')} in {export}")
    if as_json:
        output.value(found.to_dict())
    else:
        output.lines(screen(found, output.width()))
    return ExitCode.ANSWERED if found.is_whole else ExitCode.INCOMPLETE
