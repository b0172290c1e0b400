"""How ``forensics report`` writes: the form, the file it goes to, and what is said of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forensics.cli import diagnostics, output
from forensics.cli.exit_codes import ExitCode
from forensics.cli.options import F, together
from forensics.errors import UsageError

if TYPE_CHECKING:
    from forensics.report.blocks import Paged
    from forensics.report.document import Document
    from forensics.report.forms import Form

#: The forms that people read; programs read JSON.
READ = ("md", "html", "pdf")
_ENDINGS = {"html": "html", "htm": "html", "pdf": "pdf", "json": "json"}


def form_options(forms: tuple[str, ...] = (*READ, "json")) -> Callable[[F], F]:
    """``--to``, one of ``forms``, and ``--output``."""
    return together(
        click.option(
            "--to",
            "form",
            type=click.Choice(forms),
            help="Form of the report; else by the ending of --output, else md.",
        ),
        click.option(
            "-o",
            "--output",
            "target",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Where to; else standard output.",
        ),
    )


def form_of(target: Path | None) -> str:
    """The form that a file's ending names; Markdown where it names none."""
    ending = (target.suffix if target else "").removeprefix(".").lower()
    return _ENDINGS.get(ending, "md")


def chosen_form(form: str | None, target: Path | None) -> str:
    """The form; refused before any work is done where it cannot be shown."""
    named = form or form_of(target)
    refuse_on_terminal(named, target)
    return named


def refuse_on_terminal(form: str, target: Path | None) -> None:
    """Refuse to write a PDF to a terminal.

    Raises:
        UsageError: when it would be.
    """
    if form == "pdf" and target is None and output.is_terminal():
        raise UsageError("A PDF is no text for a terminal.", "", "Name a file: -o FILE.pdf")


def write_and_exit(
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
