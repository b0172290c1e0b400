"""``forensics report``."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forensics.cli import diagnostics, output, report_documents, report_forms
from forensics.cli.exit_codes import ExitCode
from forensics.cli.options import TIME, config, json_option, lake_option, lake_path
from forensics.errors import UsageError

if TYPE_CHECKING:
    from forensics.incident.files import Postmortem
    from forensics.report.forms import Form
    from forensics.report.postmortem import Report


@click.group("report")
def command() -> None:
    """Write reports from the evidence, each statement with the command that it comes from."""


@command.command("postmortem")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--new", is_flag=True, help="Write a new postmortem from the template.")
@click.option("--since", type=TIME, help="When the incident began; for --new.")
@click.option("--until", type=TIME, help="When it was over; for --new.")
@click.option("--decision-point", "--point", metavar="NAME", help="Whose decisions; for --new.")
@click.option("--title", metavar="TEXT", help="What it is called; for --new.")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of the postmortems; else `[tui] postmortems` in the config file, else "
    "LAKE-postmortems.",
)
@report_forms.form_options(report_forms.READ)
@click.option("--no-recheck", is_flag=True, help="As pinned: ask nothing again, need no lake.")
@lake_option
@json_option
@click.pass_context
def postmortem(
    ctx: click.Context,
    /,
    file: Path | None,
    new: bool,
    since: datetime | None,
    until: datetime | None,
    decision_point: str | None,
    title: str | None,
    folder: Path | None,
    form: Form | None,
    target: Path | None,
    no_recheck: bool,
    lake: Path | None,
    as_json: bool,
) -> None:
    """Render the postmortem in FILE, every pinned statement asked again; or write a new one.

    A postmortem is a Markdown file whose pins are fenced blocks: a statement, the question that
    gives it, its value, and the leaves of the records it rests on. The report marks each statement
    as still holding or as differing now, and names the command that prints it. --json tells what
    became of each. With --new --since --until a template is written, with impact and timeline
    counted from the lake, and its path printed; FILE then names it.

    Exit status 4 when a statement differs now or cannot be asked any more.
    """
    if new:
        if since is None or until is None:
            raise UsageError("--new needs --since and --until.", "They say what is counted.")
        if form or target or no_recheck:
            raise UsageError("--new writes a file to fill in.", "", "Render it afterwards.")
        path = _new(file, lake_path(lake), since, until, decision_point, title, folder)
        if as_json:
            output.value({"path": str(path)})
        else:
            output.text(str(path))
        return
    if file is None:
        raise UsageError("Name the postmortem's file, or write one with --new.")
    if since or until or decision_point or title:
        raise UsageError("--since, --until, --decision-point and --title go with --new.")
    from forensics.incident.files import read

    if target is not None and target.resolve() == file.resolve():
        raise UsageError(
            f"{target} is the postmortem itself.",
            "A report in its place would take its pins away.",
            "Name another file.",
        )
    chosen = form or _form(target)
    read_file = read(file)
    if as_json and (form or target):
        raise UsageError("Use one of --json and --to or --output.")
    found = _report(read_file, lake, recheck=not no_recheck)
    if as_json:
        output.value(found.to_dict())
    else:
        from forensics.report.words import capital

        report_forms.write(found, chosen, target)
        diagnostics.note(f"{capital(found.verdict)}.")
    ctx.exit(ExitCode.ANSWERED if found.holds else ExitCode.INCOMPLETE)


def _new(
    file: Path | None,
    root: Path,
    since: datetime,
    until: datetime,
    decision_point: str | None,
    title: str | None,
    folder: Path | None,
) -> Path:
    from forensics.api import open_lake
    from forensics.incident.files import folder as folder_of

    named = folder or config().get("tui", {}).get("postmortems")
    with open_lake(root) as opened, diagnostics.Progress("counting"):
        made = opened.new_postmortem(
            since,
            until,
            decision_point=decision_point,
            title=title,
            path=file,
            folder=folder_of(root, named),
        )
    return made.path


def _report(file: Postmortem, lake: Path | None, *, recheck: bool) -> Report:
    from forensics.report.postmortem import report

    now = datetime.now(UTC)
    if not recheck:
        return report(file.path.name, file.document, None, now)
    from forensics.api import open_lake

    opened = open_lake(_lake_of(file, lake))
    total = len(file.document.pins)
    with diagnostics.Progress("re-checking", total) as progress:
        return opened.postmortem(
            file, tell=lambda done: progress.update(done, f"{done} of {total}"), now=now
        )


def _lake_of(file: Postmortem, named: Path | None) -> Path:
    """The lake that is named, else the one beside whose postmortems the file lies."""
    if named is not None or os.environ.get("FORENSICS_LAKE"):
        return lake_path(named)
    folder = file.path.resolve().parent
    beside = folder.with_name(folder.name.removesuffix("-postmortems"))
    if beside != folder and (beside / "lake.toml").is_file():
        return beside
    return lake_path(None)


def _form(target: Path | None) -> Form:
    ending = report_forms.form_of(target)
    return "html" if ending == "html" else "pdf" if ending == "pdf" else "md"


for _each in (
    report_documents.subject,
    report_documents.decision,
    report_documents.adverse_action,
    report_documents.audit,
):
    command.add_command(_each)
