"""``forensics report subject``, ``decision``, ``adverse-action`` and ``audit``."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forensics.cli import diagnostics
from forensics.cli.exit_codes import ExitCode
from forensics.cli.options import (
    TIME,
    audit_options,
    count_option,
    counterfactuals_option,
    lake_option,
    lake_path,
    point_option,
    reason_options,
    since_option,
    together,
)
from forensics.cli.report_forms import chosen_form, form_options, write_and_exit
from forensics.errors import ReplayError, UsageError
from forensics.records.plural import count_of

if TYPE_CHECKING:
    from forensics.api import Lake
    from forensics.reconstruct.audit_answer import Class
    from forensics.report.document import Document

_DAYS = 30

_days_options = together(
    click.option(
        "--days",
        type=click.IntRange(min=1, max=3660),
        help=f"The last N days; {_DAYS} if none.",
    ),
    since_option,
    click.option("--until", type=TIME, help="Before this time; else to the last decision's day."),
)
_bundle_option = click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    metavar="OUT.zip",
    help="Also write the evidence, with the report in it: a zip that can be checked offline, "
    "by forensics verify OUT.zip or without this program.",
)


@click.command("subject")
@click.argument("person", metavar="SUBJECT")
@_days_options
@click.option("--all", "everything", is_flag=True, help="Run all again, not the newest 20 only.")
@click.option("--audit", is_flag=True, help="Say whether decisions are missing: reads the window.")
@count_option
@reason_options
@form_options()
@_bundle_option
@lake_option
@click.pass_context
def subject(
    ctx: click.Context,
    /,
    person: str,
    days: int | None,
    since: datetime | None,
    until: datetime | None,
    everything: bool,
    audit: bool,
    counts: tuple[Path, ...],
    templates: Path | None,
    reference: str | None,
    adverse: tuple[str, ...],
    form: str | None,
    target: Path | None,
    bundle: Path | None,
    lake: Path | None,
) -> None:
    """Write everything about a person in a window, in plain words, for that person.

    For each decision about SUBJECT: what was decided, by what, from which data, what counted most,
    what would have changed it, who received it, and how sure all that is. Every statement says how
    it is known and where to look. The form is that of GDPR Art. 15 and AI Act Art. 86.

    What you may not see is withheld by its rule: whoever answers such requests needs a role that
    may see it. With --adverse or --templates the principal reasons of adverse outcomes are there.

    Exit status 0 when the evidence answers all of it, 4 when it is incomplete, 3 when no decision
    about SUBJECT is in the window.
    """
    from forensics.api import open_lake

    to = chosen_form(form, target)
    days = _days(days, since)
    with open_lake(lake_path(lake)) as opened, diagnostics.Progress("decisions") as progress:
        found = opened.subject_report(
            person,
            since=since,
            until=until,
            days=days,
            everything=everything,
            audit=audit,
            counts=counts,
            templates=templates,
            reference=reference,
            adverse=adverse,
            progress=progress.count,
        )
        left_out = _bundled(opened, found, bundle)
    write_and_exit(ctx, found, to, target, left_out)


@click.command("decision")
@click.argument("identifier", metavar="REQUEST_ID")
@counterfactuals_option
@form_options()
@_bundle_option
@lake_option
@click.pass_context
def decision(
    ctx: click.Context,
    /,
    identifier: str,
    counterfactuals: int,
    form: str | None,
    target: Path | None,
    bundle: Path | None,
    lake: Path | None,
) -> None:
    """Write one decision in full: all that forensics trace says, each part with its evidence.

    REQUEST_ID is a request id or a decision id; all decisions that it names are written. Exit
    status 4 when the evidence is incomplete or replay differs, 3 when there is no such decision.
    """
    from forensics.api import open_lake

    to = chosen_form(form, target)
    with open_lake(lake_path(lake)) as opened:
        found = opened.decision_report(identifier, counterfactuals=counterfactuals)
        left_out = _bundled(opened, found, bundle)
    write_and_exit(ctx, found, to, target, left_out)


@click.command("adverse-action")
@click.argument("identifier", metavar="REQUEST_ID")
@reason_options
@form_options()
@lake_option
@click.pass_context
def adverse_action(
    ctx: click.Context,
    /,
    identifier: str,
    templates: Path | None,
    reference: str | None,
    adverse: tuple[str, ...],
    form: str | None,
    target: Path | None,
    lake: Path | None,
) -> None:
    """Draft the notice of an adverse decision, with its principal reasons (Regulation B).

    At most four reasons, each a factor that was scored or the rule that decided, worked out again
    from the recorded decision. What the lender has to fill in stands in brackets; what it has to
    know before it sends the notice stands apart, and is not for the applicant.

    Exit status 0 when the draft is ready to be completed, 4 when it must not be sent as it is or
    reasons cannot be had, 2 when the outcome is not adverse, 3 when there is no such decision.
    """
    from forensics.api import open_lake

    to = chosen_form(form, target)
    with open_lake(lake_path(lake)) as opened:
        try:
            found = opened.adverse_action(
                identifier, templates=templates, reference=reference, adverse=adverse
            )
        except ReplayError as error:
            diagnostics.error(error)
            ctx.exit(ExitCode.INCOMPLETE)
    write_and_exit(ctx, found, to, target)


@click.command("audit")
@_days_options
@point_option
@audit_options
@form_options()
@lake_option
@click.pass_context
def audit(
    ctx: click.Context,
    /,
    days: int | None,
    since: datetime | None,
    until: datetime | None,
    decision_point: str | None,
    counts: tuple[Path, ...],
    metric: str | None,
    require: Class | None,
    form: str | None,
    target: Path | None,
    lake: Path | None,
) -> None:
    """Write how complete the evidence of a window is, by decision point and day.

    It is forensics audit as a document, with a chart of the days. Exit status 4 when decisions are
    missing or --require is not met, 3 when the window holds no decision.
    """
    from forensics.api import open_lake

    to = chosen_form(form, target)
    days = _days(days, since)
    named = {"--decision-point": decision_point, "--metric": metric, "--require": require}
    options = [word for name, value in named.items() if value for word in (name, str(value))]
    options += [word for path in counts for word in ("--count", str(path))]
    with open_lake(lake_path(lake)) as opened, diagnostics.Progress("audit") as progress:
        answer = opened.audit(
            since=since,
            until=until,
            days=days,
            decision_point=decision_point,
            counts=counts,
            metric=metric,
            require=require,
            progress=progress.share,
        )
        found = opened.audit_report(answer, options)
    write_and_exit(ctx, found, to, target)


def _days(days: int | None, since: datetime | None) -> int | None:
    """How many days are asked for; None where a first time is.

    Raises:
        UsageError: when both were given.
    """
    if since is None:
        return days or _DAYS
    if days is not None:
        raise UsageError("Use one of --since and --days.")
    return None


def _bundled(opened: Lake, found: Document, target: Path | None) -> int:
    """Write the evidence of a document's decisions, where it is wanted; what had to be left out."""
    if target is None:
        return 0
    made = opened.bundle_of(found, target)
    out = len(made.manifest.left_out)
    diagnostics.note(f"Evidence of {count_of(len(made.manifest.decisions), 'decision')}: {target}.")
    if out:
        diagnostics.note(f"{out:,} things had to be left out of it; its manifest says why.")
    return out
