"""``forensics explain``."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forensics.cli import diagnostics, output
from forensics.cli.exit_codes import ExitCode
from forensics.cli.one_or_window import refuse_unused, require_one
from forensics.cli.options import (
    counterfactuals_option,
    json_option,
    lake_option,
    lake_path,
    reason_options,
    times_options,
)
from forensics.errors import UsageError
from forensics.records.plural import count_of

if TYPE_CHECKING:
    from forensics.api import Lake
    from forensics.explain.explanation import Explanation
    from forensics.explain.stored import Window
    from forensics.explain.summary import ModelSummary

_FILE = click.Path(path_type=Path)
_AGREES = ("bit_exact", "within_ulp")
#: Options that concern one decision, and those that concern a window, as the command knows them.
_OF_ONE = (
    "background", "interventional", "reasons", "reference", "counterfactuals", "target", "time_s",
)  # fmt: skip
_OF_MANY = ("since", "until", "store", "export", "pin")
_EXAMPLE = "forensics explain REQUEST_ID, or forensics explain --decision-point NAME --since T"


@click.command("explain")
@click.argument("request_id", required=False)
@click.option("--reasons", is_flag=True, help="The principal reasons for an adverse decision too.")
@reason_options
@click.option(
    "--background",
    metavar="DIGEST|FILE",
    help="Rows to compare with: CSV, JSON or Parquet. Else those that the record names.",
)
@click.option(
    "--interventional",
    is_flag=True,
    help="Compare with the background, not with the paths of the training data.",
)
@counterfactuals_option
@click.option(
    "--target",
    multiple=True,
    metavar="OUTCOME",
    help="An outcome that such a change must give; may be given again. Else any other.",
)
@click.option(
    "--time",
    "time_s",
    type=click.FloatRange(0.01, 3600),
    metavar="SECONDS",
    help="How much to look for the nearest change and a proof that none is nearer, in seconds of "
    "an idle core: more where the answer says that a nearer one may exist. Work is counted, not "
    "time, so that the answer is the same on every machine.  [default: 0.07 or less]",
)
@click.option("--decision-point", "--point", metavar="NAME", help="All decisions of this point.")
@times_options
@click.option("--store", is_flag=True, help="Keep the window's attributions in the lake.")
@click.option("--export", type=_FILE, metavar="FILE", help="Write them all to a Parquet file.")
@click.option(
    "--pin", is_flag=True, help="Keep the window's other decisions as a reference for reasons."
)
@lake_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    request_id: str | None,
    templates: Path | None,
    adverse: tuple[str, ...],
    decision_point: str | None,
    lake: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Which inputs drove a decision, its principal reasons, and what would have changed it.

    REQUEST_ID is a request id or a decision id. With --decision-point all decisions of a window are
    explained instead, and the answer sums them up by feature and outcome.

    Exit status 4 when a decision cannot be replayed or explained, or replay does not give the
    recorded answer; 5 when a record or artifact is not what was sealed.
    """
    from forensics.api import open_lake

    require_one(request_id, decision_point, _EXAMPLE)
    is_one = request_id is not None
    refuse_unused(ctx, _OF_MANY if is_one else _OF_ONE, is_one=is_one)
    with open_lake(lake_path(lake)) as opened:
        if decision_point is not None:
            named = _adverse(adverse, templates)
            status = _window(
                opened, decision_point, named, as_json=as_json, **_of(options, _OF_MANY)
            )
        else:
            assert request_id is not None
            found = opened.explain(
                request_id, templates=templates, adverse=adverse, **_of(options, _OF_ONE)
            )
            status = _decisions(found, as_json=as_json)
    ctx.exit(status)


def _of(options: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: options[name] for name in names}


def _adverse(given: tuple[str, ...], templates: Path | None) -> tuple[str, ...]:
    if given or templates is None:
        return given
    from forensics.reconstruct.explained import templates_at

    return templates_at(templates).adverse


def _decisions(found: list[Explanation], *, as_json: bool) -> ExitCode:
    for number, explanation in enumerate(found):
        if as_json and len(found) == 1:
            output.value(explanation.to_dict())
        elif as_json:
            output.record(explanation.to_dict())
        else:
            from forensics.report.explanation import screen

            if number:
                output.text()
                output.text("─" * min(output.width(), 100))
            output.lines(screen(explanation, output.width()))
    if len(found) > 1 and not as_json:
        diagnostics.note(f"{len(found)} decisions bear this id; all are shown.")
    return max(map(_status, found))


def _status(explanation: Explanation) -> ExitCode:
    if explanation.verified is False:
        return ExitCode.INTEGRITY
    lacking = explanation.attribution is None or explanation.reasons_reason is not None
    if lacking or explanation.replay.verdict not in _AGREES:
        return ExitCode.INCOMPLETE
    return ExitCode.ANSWERED


def _window(
    lake: Lake,
    point: str,
    adverse: tuple[str, ...],
    *,
    since: datetime | None,
    until: datetime | None,
    store: bool,
    export: Path | None,
    pin: bool,
    as_json: bool,
) -> ExitCode:
    from forensics.explain.summary import summary

    if pin and not adverse:
        raise UsageError(
            "--pin keeps the decisions that were not adverse, and no outcome is named so.", "",
            "Name them: --adverse OUTCOME",
        )  # fmt: skip
    with (
        diagnostics.Progress("explain") as progress,
        lake.attributions(point, since, until, store=store, progress=progress.update) as found,
    ):
        summaries = [summary(model, adverse) for model in found.models]
        pinned = (
            [_pinned(lake, found, at, adverse) for at in range(len(found.models))] if pin else []
        )
        exported = _exported(found, export)
    if as_json:
        output.value(_to_dict(found, summaries, adverse, pinned))
    else:
        from forensics.report.explanation import window

        output.lines(window(found, summaries, adverse, output.table_width()))
        for each in pinned:
            output.text(f"{each['digest']}  {each['statement']}")
    if export is not None:
        diagnostics.note(f"{count_of(exported, 'attribution')} in {export}")
    unconfirmed = any(each.confirmed not in (None, each.decisions) for each in summaries)
    return ExitCode.INCOMPLETE if found.not_explained or unconfirmed else ExitCode.ANSWERED


def _pinned(lake: Lake, found: Window, at: int, adverse: tuple[str, ...]) -> dict[str, Any]:
    """Keep the reference population of one model of a window, and say what it is."""
    from forensics.explain.summary import reference_of

    model = found.models[at]
    reference = reference_of(found, model, adverse, lake.snapshot(), lake.artifacts)
    digest = lake.artifacts.put(reference.to_bytes())
    return {
        "digest": digest,
        "model_digest": model.scorer.digest,
        "decisions": reference.decisions,
        "statement": reference.statement,
    }


def _exported(found: Window, path: Path | None) -> int:
    if path is None:
        return 0
    try:
        return found.export(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written.", f"{error}.") from error


def _to_dict(
    found: Window,
    summaries: list[ModelSummary],
    adverse: tuple[str, ...],
    pinned: list[dict[str, Any]],
) -> dict[str, Any]:
    from forensics.records.times import from_micros

    return {
        "decision_point": found.point,
        "since": from_micros(found.since_us),
        "until": from_micros(found.until_us),
        "decisions": found.decisions,
        "explained": sum(each.decisions for each in summaries),
        "not_explained": [
            {"reason": why, "decisions": count} for why, count in found.not_explained.items()
        ],
        "adverse": list(adverse),
        "models": [each.to_dict() for each in summaries],
        "references": pinned,
        "files": {
            "computed": found.computed,
            "reused": found.reused,
            "removed": found.removed,
            "stored": None if found.stored is None else str(found.stored),
        },
    }
