"""``forensics serve``."""

from __future__ import annotations

from pathlib import Path

import click

from forensics.cli import diagnostics
from forensics.cli.options import lake_option, lake_path
from forensics.errors import DependencyError


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8787,
    show_default=True,
    help="The port to listen on; 0 lets the system choose.",
)
@click.option(
    "--tokens",
    "tokens_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Who may send what (TOML); without it only the loopback address is listened on.",
)
@click.option(
    "--batch-seconds",
    type=click.FloatRange(min=0.05, max=3_600),
    default=3.0,
    show_default=True,
    help="Take what has come into the lake after so long.",
)
@click.option(
    "--batch-rows",
    type=click.IntRange(min=1, max=1_000_000),
    default=20_000,
    show_default=True,
    help="Or once so many records have come.",
)
@click.option(
    "--request-mb",
    type=click.IntRange(min=1, max=1_024),
    default=16,
    show_default=True,
    help="The largest body, as sent and as decompressed.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="Requests under way at a time; others are told to come again.",
)
@click.option(
    "--records-per-second",
    type=click.FloatRange(min=0, min_open=True),
    default=100_000,
    show_default=True,
    help="What a token may send whose entry says nothing else.",
)
@click.option(
    "--timeout-seconds",
    type=click.FloatRange(min=0.1, max=3_600),
    default=30.0,
    show_default=True,
    help="A request's head, and its body, must each have come by then.",
)
@click.option(
    "--spool-mb",
    type=click.IntRange(min=1),
    default=2_048,
    show_default=True,
    help="What may wait for the lake; beyond it, requests are told to come again.",
)
@click.option("--access-log", is_flag=True, help="Say each request on standard error.")
@click.option(
    "--drain",
    is_flag=True,
    help="Serve nothing: take what a killed server left in the spool into the lake, and exit.",
)
@lake_option
def command(
    host: str,
    port: int,
    tokens_file: Path | None,
    batch_seconds: float,
    batch_rows: int,
    request_mb: int,
    concurrency: int,
    records_per_second: float,
    timeout_seconds: float,
    spool_mb: int,
    access_log: bool,
    drain: bool,
    lake: Path | None,
) -> None:
    """Take OpenLineage events, decisions and changes over HTTP into the lake.

    What is answered with status 201 is on the disk. POST /api/v1/lineage takes OpenLineage events;
    /v1/decisions, /v1/changes and /v1/records take records as JSON, arrays or lines, plain or
    compressed. GET /health, /ready and /metrics are for those who watch. SIGTERM and an interrupt
    end it once everything it took is in the lake.
    """
    try:
        from forensics.server import run, tokens
        from forensics.server.settings import Settings
    except ModuleNotFoundError as error:
        raise DependencyError(
            f"The server needs the package {error.name!r}.",
            "It is not installed.",
            "pip install 'decision-forensics[serve]'",
        ) from error
    root = lake_path(lake)
    if drain:
        run.drain(root, diagnostics.note)
        return
    settings = Settings(
        host=host,
        port=port,
        batch_seconds=batch_seconds,
        batch_rows=batch_rows,
        request_bytes_max=request_mb << 20,
        concurrency_max=concurrency,
        held_bytes_max=max(256, 4 * request_mb) << 20,
        records_per_second=records_per_second,
        timeout_seconds=timeout_seconds,
        spool_bytes_max=spool_mb << 20,
        access_log=access_log,
    )
    senders = tokens.load(tokens_file, records_per_second) if tokens_file else ()
    run.serve(root, settings, senders, diagnostics.note)
