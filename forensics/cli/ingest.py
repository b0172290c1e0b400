"""``forensics ingest``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forensics.cli import diagnostics, output
from forensics.cli.exit_codes import ExitCode
from forensics.cli.options import json_option, lake_option, lake_path
from forensics.errors import ForensicsError, UsageError
from forensics.records.plural import count_of

if TYPE_CHECKING:
    from forensics.ingest.interface import Options
    from forensics.ingest.run import Report

_FORMATS = ("auto", "jsonl", "parquet", "openlineage", "artifact")


@click.command("ingest")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    default="auto",
    show_default=True,
    help="What the files are; told by their first bytes if auto. jsonl: one record a line, "
    "whatever the first bytes look like. openlineage: every record is an event. An artifact is a "
    "model, rule set or configuration, kept by its SHA-256.",
)
@click.option(
    "--map",
    "paths",
    multiple=True,
    metavar="FIELD=PATH",
    help="Take the contract's FIELD from PATH (dots go deeper) in your records. Repeatable.",
)
@click.option(
    "--set",
    "constants",
    multiple=True,
    metavar="FIELD=TEXT",
    help="Give FIELD the same text in every record. Repeatable.",
)
@click.option("--retry", metavar="ID", help="Read again what is in quarantine as ID, or `all`.")
@click.option("--discard", metavar="ID", help="Take ID out of quarantine; its bytes stay.")
@click.option(
    "--dry-run", is_flag=True, help="Show how the first record would be read; take nothing in."
)
@click.option("--quarantine", "list_kept", is_flag=True, help="List what is in quarantine.")
@click.option(
    "--workers",
    type=click.IntRange(0, 64),
    help="Processes that parse; by default one per core for large files.",
)
@lake_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    files: tuple[Path, ...],
    form: str,
    paths: tuple[str, ...],
    constants: tuple[str, ...],
    retry: str | None,
    discard: str | None,
    dry_run: bool,
    list_kept: bool,
    workers: int | None,
    lake: Path | None,
    as_json: bool,
) -> None:
    """Take records into the lake: decisions, changes, overrides, outcome labels, lineage events.

    FILES are JSON (a record a line, an array, or one record after the other; plain, gzip or zstd; -
    is standard input) or Parquet. OpenLineage events may stand among other records. What is in the
    lake already is not taken twice. A record that cannot be taken goes to quarantine with the
    reason and its bytes, and the rest lands; the exit status is then 4.
    """
    root = lake_path(lake)
    options = _options(paths, constants)
    if list_kept:
        _list_quarantine(root, as_json)
        return
    if discard is not None:
        _discard(root, discard)
        return
    if not files and retry is None:
        raise UsageError("No file is named.", "", "Name files, or - for standard input.")
    if form == "artifact":
        _artifacts(root, files, as_json)
        return
    if dry_run:
        if not files or retry is not None:
            raise UsageError("A dry run reads a file.", "", "forensics ingest --dry-run FILE")
        _dry_run(files[0], form, options)
        return
    from forensics.ingest.looks import land

    report = _retry(root, retry, files, options) if retry else _ingest(
        root, files, form, options, workers
    )  # fmt: skip
    _show(report, as_json)
    land(root)
    if report.quarantined_total:
        ctx.exit(ExitCode.INCOMPLETE)


def _options(paths: tuple[str, ...], constants: tuple[str, ...]) -> Options:
    from forensics.ingest.interface import Options

    return Options(tuple(map(_pair, paths)), tuple(map(_pair, constants)))


def _pair(item: str) -> tuple[str, str]:
    """A field of the contract, and what is said of it."""
    name, _, value = item.partition("=")
    if not name or not value:
        raise UsageError(f"{item!r} does not name a field and a value.", "", "Use FIELD=PATH.")
    _check_field(name)
    return name, value


def _check_field(name: str) -> None:
    """Refuse a field that the contract does not have: a misspelt one would be lost silently."""
    import difflib

    from forensics_schemas.names import known_fields

    known = known_fields()
    if name in known or name.startswith("features."):
        return
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    raise UsageError(
        f"The contract has no field {name!r}.",
        f"Nearest: {', '.join(near)}." if near else "",
        "All fields: docs/reference/records.md",
    )


def _discard(root: Path, identifier: str) -> None:
    from forensics.ingest import quarantine

    kept = quarantine.load(root, identifier)
    quarantine.resolve(root, [item.id for item in kept])
    output.text(f"{identifier} has left the quarantine; its bytes are kept.")


def _dry_run(file: Path, form: str, options: Options) -> None:
    """The first record as it would be read, and what would be refused, of the first chunk."""
    from forensics.ingest.sources import open_source

    source = open_source(file, form)
    for chunk in source.chunks():
        parsed = source.parse(chunk, {}, options)
        for table, records in parsed.tables.items():
            first = {k: v for k, v in records.slice(0, 1).to_pylist()[0].items() if v is not None}
            for name in ("raw", "salt", "leaf", "ingested_at", "exact"):
                first.pop(name, None)
            output.value({"table": table, "records": records.num_rows, "first": first})
        for reject in parsed.rejects[:5]:
            diagnostics.note(f"line {reject.line:,}: {reject.reason}")
        break
    diagnostics.note("Nothing was taken in.")


def _ingest(
    root: Path, files: tuple[Path, ...], form: str, options: Options, workers: int | None
) -> Report:
    from forensics.ingest.run import Report, run
    from forensics.ingest.sources import first_bytes, open_source
    from forensics.lake import seal
    from forensics.lake.catalog import require_lake

    require_lake(root)
    whole = Report()
    for file in files:  # all before the first is taken in: a misspelt name should cost nothing
        first_bytes(file)
    for file in files:
        source = open_source(file, form)
        with diagnostics.Progress(f"ingest {source.name}", source.total) as progress:
            progress.landed(0, 0)
            try:
                report = run(root, source, options, progress=progress.landed, workers=workers)
            except KeyboardInterrupt:
                diagnostics.note(
                    "What was landed before the stop is durable. The same command again goes on: "
                    "nothing lands twice."
                )
                raise
            except ForensicsError:
                if whole.landed_total or whole.quarantined_total:
                    diagnostics.note(
                        f"Before {source.name}: {whole.landed_total:,} landed, "
                        f"{whole.quarantined_total:,} quarantined."
                    )
                raise
        _remark(report, source.name, options)
        whole.add(report)
    if (why := seal.unsealed_reason(root)) is not None:
        diagnostics.note(f"What landed is not sealed yet. {why}")
    return whole


def _remark(report: Report, name: str, options: Options) -> None:
    """Say what of the file ``name`` may not have been meant so."""
    for path in sorted(report.unmatched or ()):
        diagnostics.note(f"No record of {name} has {path!r}, which --map names.")
    if report.already_present and (options.paths or options.constants):
        diagnostics.note(
            f"In the lake already, and as first read: {count_of(report.already_present, 'record')} "
            f"of {name}; another --map or --set does not change them."
        )
    if _holds_no_record(report):
        diagnostics.note(
            f"Nothing in {name} is a record. If it is a model, a rule set or a configuration: "
            f"forensics ingest --format artifact {name}"
        )


def _holds_no_record(report: Report) -> bool:
    """Whether what was read is something else: no JSON, or one object that names no point."""
    if report.landed_total or report.already_present:
        return False
    reasons = tuple(report.quarantined)
    alone = report.quarantined_total == 1 and reasons[0].startswith("decision_point is missing")
    return alone or all(reason.startswith("not ") for reason in reasons)


def _retry(root: Path, identifier: str, files: tuple[Path, ...], options: Options) -> Report:
    from forensics.ingest import quarantine
    from forensics.ingest.retry import retry

    if len(files) > 1 or (files and identifier == "all"):
        raise UsageError("A retry takes one record's mended file at most.", "", "Name its id.")
    kept = quarantine.load(root, None if identifier == "all" else identifier)
    mended = files[0].read_bytes() if files else None
    report = retry(root, kept, options, mended=mended)
    report.examples = quarantine.seen(root, report.examples)
    return report


def _artifacts(root: Path, files: tuple[Path, ...], as_json: bool) -> None:
    from forensics.lake.artifacts import ArtifactStore
    from forensics.lake.catalog import require_lake

    require_lake(root)
    store = ArtifactStore(root)
    for file in files:
        try:
            digest = store.put(file.read_bytes())
        except OSError as error:
            raise UsageError(f"{file} cannot be read.", f"{error.strerror}.") from error
        if as_json:
            output.record({"file": str(file), "digest": digest})
        else:
            output.text(f"{digest}  {file}")


def _list_quarantine(root: Path, as_json: bool) -> None:
    from forensics.ingest import quarantine
    from forensics.records.safe_text import safe_text

    kept = quarantine.seen(root, quarantine.load(root))
    for item in kept:
        if as_json:
            output.record(
                {"id": item.id, "source": item.source, "line": item.line, "reason": item.reason}
            )
        else:
            output.text(safe_text(f"{item.id}  {item.source}, line {item.line:,}: {item.reason}"))
    if not kept and not as_json:
        output.text("Nothing is in quarantine.")


def _show(report: Report, as_json: bool) -> None:
    from forensics.records.safe_text import safe_text

    landed = Counter({name: count for name, count in report.landed.items() if count})
    if as_json:
        output.value(
            {
                "landed": report.landed_total,
                "landed_by_table": dict(landed),
                "already_present": report.already_present,
                "quarantined": report.quarantined_total,
                "quarantined_by_reason": dict(report.quarantined),
                "examples": [
                    {"id": k.id, "source": k.source, "line": k.line, "reason": k.reason}
                    for k in report.examples
                ],
            }
        )
        return
    for name, count in landed.items():
        output.text(f"{count:>12,}  {name}")
    output.text(
        f"{report.landed_total:>12,}  landed, {report.already_present:,} already present, "
        f"{report.quarantined_total:,} quarantined"
    )
    for reason, count in report.quarantined.most_common():
        output.text(safe_text(f"{count:>12,}  {reason}"))
    for item in report.examples:
        output.text(safe_text(f"  {item.id}  {item.source}, line {item.line:,}: {item.reason}"))
    if report.examples:
        output.text(
            f"Kept with their bytes. Mend one and retry: "
            f"forensics ingest --retry {report.examples[0].id} MENDED_FILE"
        )
