"""``forensics report subject``, ``decision``, ``adverse-action`` and ``audit``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from forensics.cli import diagnostics, output
from forensics.cli.exit_codes import ExitCode
from forensics.cli.options import TIME, lake_option, lake_path
from forensics.errors import ReplayError, UsageError

if TYPE_CHECKING:
    from forensics.api import Lake
    from forensics.report.blocks import Paged
    from forensics.report.document import Document
    from forensics.report.forms import Form

F = TypeVar("F", bound=Callable[..., Any])
_FORMS = ("md", "html", "pdf", "json")
_ENDINGS = {"html": "html", "htm": "html", "pdf": "pdf", "json": "json"}


def _form_options(command: F) -> F:
    """``--to`` and ``--output``, as all reports have them."""
    for option in (
        click.option(
            "-o",
            "--output",
            "target",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Where to; else standard output.",
        ),
        click.option(
            "--to",
            "form",
            type=click.Choice(_FORMS),
            help="Form of the report; else by the ending of --output, else md.",
        ),
    ):
        command = option(command)
    return command


def _reason_options(command: F) -> F:
    """How principal reasons are found and worded."""
    for option in (
        click.option(
            "--adverse",
            multiple=True,
            metavar="OUTCOME",
            help="An adverse outcome; may be given again. Else those that the templates name.",
        ),
        click.option(
            "--reference",
            metavar="DIGEST|FILE",
            help="The population that reasons are relative to; else the one that the templates "
            "name.",
        ),
        click.option(
            "--templates",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="The words for principal reasons: reasons.toml.",
        ),
    ):
        command = option(command)
    return command


def _count_options(command: F) -> F:
    """What somebody else counted."""
    return click.option(
        "--count",
        "counts",
        multiple=True,
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        metavar="FILE",
        help="What a gateway or service counted; see forensics audit. May be repeated.",
    )(command)


def _bundle_option(command: F) -> F:
    """``--bundle``: the evidence too."""
    return click.option(
        "--bundle",
        type=click.Path(path_type=Path),
        metavar="OUT.zip",
        help="Also write the evidence, with the report in it: a zip that can be checked offline, "
        "by forensics verify OUT.zip or without this program.",
    )(command)


@click.command("subject")
@click.argument("person", metavar="SUBJECT")
@click.option("--days", type=click.IntRange(min=1, max=3660), help="The last N days; 30 if none.")
@click.option("--since", type=TIME, help="From this time on: ISO 8601 in UTC, or `2h ago`.")
@click.option("--until", type=TIME, help="Before this time; else to the last decision's day.")
@click.option("--all", "everything", is_flag=True, help="Run all again, not the newest 20 only.")
@click.option("--audit", is_flag=True, help="Say whether decisions are missing: reads the window.")
@_count_options
@_reason_options
@_form_options
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

    chosen = _chosen(form, target)
    if since is not None and days is not None:
        raise UsageError("Use one of --since and --days.")
    with (
        open_lake(lake_path(lake)) as opened,
        diagnostics.Progress("decisions") as progress,
    ):

        def tell(done: int, total: int) -> None:
            progress.update(done, f"{done:,} of {total:,}")

        found = opened.subject_report(
            person,
            since=since,
            until=until,
            days=(days or 30) if since is None else None,
            everything=everything,
            audit=audit,
            counts=counts,
            templates=templates,
            reference=reference,
            adverse=adverse,
            progress=tell,
        )
        left_out = _bundled(opened, found, bundle)
    _end(ctx, found, chosen, target, left_out)


@click.command("decision")
@click.argument("identifier", metavar="REQUEST_ID")
@click.option(
    "--counterfactuals",
    type=click.IntRange(0, 20),
    default=1,
    show_default=True,
    help="How many changes that flip the outcome to show.",
)
@_form_options
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

    chosen = _chosen(form, target)
    with open_lake(lake_path(lake)) as opened:
        found = opened.decision_report(identifier, counterfactuals=counterfactuals)
        left_out = _bundled(opened, found, bundle)
    _end(ctx, found, chosen, target, left_out)


@click.command("adverse-action")
@click.argument("identifier", metavar="REQUEST_ID")
@_reason_options
@_form_options
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

    chosen = _chosen(form, target)
    with open_lake(lake_path(lake)) as opened:
        try:
            found = opened.adverse_action(
                identifier, templates=templates, reference=reference, adverse=adverse
            )
        except ReplayError as error:
            diagnostics.error(error)
            ctx.exit(ExitCode.INCOMPLETE)
    _end(ctx, found, chosen, target)


@click.command("audit")
@click.option("--days", type=click.IntRange(min=1, max=3660), help="The last N days; 30 if none.")
@click.option("--since", type=TIME, help="From this time on: ISO 8601 in UTC, or `2h ago`.")
@click.option("--until", type=TIME, help="Before this time; else to the last decision's day.")
@click.option("--decision-point", "--point", metavar="NAME", help="Only this decision point.")
@_count_options
@click.option("--metric", metavar="NAME", help="The counter's name, where a FILE has several.")
@click.option(
    "--require",
    type=click.Choice(["C0", "C1", "C2"]),
    help="The class that every decision is to have.",
)
@_form_options
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
    require: Any,
    form: str | None,
    target: Path | None,
    lake: Path | None,
) -> None:
    """Write how complete the evidence of a window is, by decision point and day.

    It is forensics audit as a document, with a chart of the days. Exit status 4 when decisions are
    missing or --require is not met, 3 when the window holds no decision.
    """
    from forensics.api import open_lake

    chosen = _chosen(form, target)
    if since is not None and days is not None:
        raise UsageError("Use one of --since and --days.")
    named = {"--decision-point": decision_point, "--metric": metric, "--require": require}
    options = [word for name, value in named.items() if value for word in (name, str(value))]
    options += [word for path in counts for word in ("--count", str(path))]
    with (
        open_lake(lake_path(lake)) as opened,
        diagnostics.Progress("audit") as progress,
    ):

        def tell(done: int, total: int) -> None:
            progress.update(done, f"{done / total:.0%} of {total:,} decisions")

        answer = opened.audit(
            since=since,
            until=until,
            days=(days or 30) if since is None else None,
            decision_point=decision_point,
            counts=counts,
            metric=metric,
            require=require,
            progress=tell,
        )
        found = opened.audit_report(answer, options)
    _end(ctx, found, chosen, target)


def form_of(target: Path | None) -> str:
    """The form that a file's ending names; Markdown where it names none."""
    ending = (target.suffix if target else "").removeprefix(".").lower()
    return _ENDINGS.get(ending, "md")


def _chosen(form: str | None, target: Path | None) -> str:
    """The form; refused before any work is done where it cannot be shown."""
    chosen = form or form_of(target)
    refuse_on_terminal(chosen, target)
    return chosen


def refuse_on_terminal(form: str, target: Path | None) -> None:
    """Refuse to write a PDF to a terminal.

    Raises:
        UsageError: when it would be.
    """
    if form == "pdf" and target is None and output.is_terminal():
        raise UsageError("A PDF is no text for a terminal.", "", "Name a file: -o FILE.pdf")


def _bundled(opened: Lake, found: Document, target: Path | None) -> int:
    """Write the evidence of a document's decisions, where it is wanted; what had to be left out."""
    if target is None:
        return 0
    made = opened.bundle_of(found, target)
    out = len(made.manifest.left_out)
    diagnostics.note(f"Evidence of {len(made.manifest.decisions):,} decisions: {target}.")
    if out:
        diagnostics.note(f"{out:,} things had to be left out of it; its manifest says why.")
    return out


def _end(
    ctx: click.Context, found: Document, form: str, target: Path | None, left_out: int = 0
) -> None:
    """Write a document, say in a line what it comes to, and exit."""
    if form == "json":
        _write_json(found, target)
    else:
        write(found, "pdf" if form == "pdf" else "html" if form == "html" else "md", target)
    if found.note:
        diagnostics.note(f"{found.note}.")
    whole = found.whole and not left_out
    ctx.exit(ExitCode.ANSWERED if whole else ExitCode.INCOMPLETE)


def _write_json(found: Document, target: Path | None) -> None:
    if target is None:
        output.value(found.to_dict())
        return
    from forensics.records.jsontext import dumps

    _to_file(f"{dumps(found.to_dict())}\n".encode(), target)


def write(found: Paged, form: Form, target: Path | None) -> None:
    """Write a report in some form to a file or to standard output.

    Raises:
        UsageError: when the file cannot be written.
    """
    from forensics.report.forms import written

    refuse_on_terminal(form, target)
    data = written(found, form)
    if target is not None:
        _to_file(data, target)
    elif form == "pdf":
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
    else:
        text = data.decode().removesuffix("\n")
        output.text(_inert(text) if output.is_terminal() else text)


def _to_file(data: bytes, target: Path) -> None:
    try:
        target.write_bytes(data)
    except OSError as error:
        raise UsageError(f"{target} cannot be written.", f"{error.strerror or error}.") from error


def _inert(text: str) -> str:
    from forensics.report.markdown_text import inert

    return inert(text, lines=True)  # prose is its author's, byte for byte, and may hold anything
