"""``forensics lineage``."""

from __future__ import annotations

import gc
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forensics.cli import output
from forensics.cli.exit_codes import ExitCode
from forensics.cli.options import TIME, json_option, lake_option, lake_path
from forensics.errors import UsageError

if TYPE_CHECKING:
    from forensics.lineage.nodes import Direction


class Depth(click.ParamType[int]):
    """A number of jobs, or ``all``, which is -1."""

    name = "depth"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Parse ``value``."""
        text = str(value)
        if text == "all":
            return -1
        if text.isascii() and text.isdigit():
            return int(text)
        return self.fail(f"{text!r} is no depth; use a whole number or `all`.", param, ctx)


@click.command("lineage")
@click.argument("node")
@click.option("--upstream", is_flag=True, help="Only what it came from.")
@click.option("--downstream", is_flag=True, help="Only what came of it.")
@click.option(
    "--connected", is_flag=True, help="Whatever is connected with it, in whichever direction."
)
@click.option(
    "--depth",
    type=Depth(),
    default="5",
    show_default=True,
    metavar="N|all",
    help="How many jobs may lie between.",
)
@click.option(
    "--as-of", type=TIME, metavar="TIME", help="As it was then: only events that had occurred."
)
@click.option(
    "--known-by",
    type=TIME,
    metavar="TIME",
    help="As it was known then: only events that the lake had received.",
)
@click.option(
    "--all-time", is_flag=True, help="Every edge ever declared, not what each job declared last."
)
@click.option("--columns", is_flag=True, help="Of a dataset or a job: walk its columns.")
@click.option("--namespace", metavar="NS", help="Look in this namespace, for NODE as a name in it.")
@click.option("--mermaid", is_flag=True, help="Answer as a Mermaid flowchart.")
@click.option("--dot", is_flag=True, help="Answer as a Graphviz graph.")
@lake_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    node: str,
    upstream: bool,
    downstream: bool,
    connected: bool,
    depth: int,
    as_of: datetime | None,
    known_by: datetime | None,
    all_time: bool,
    columns: bool,
    namespace: str | None,
    mermaid: bool,
    dot: bool,
    lake: Path | None,
    as_json: bool,
) -> None:
    """Follow NODE to what it came from and to what came of it, by OpenLineage events.

    NODE is dataset:NAMESPACE/NAME, column:NAMESPACE/NAME#COLUMN, job:NAMESPACE/NAME, run:ID,
    version:NAMESPACE/NAME@VERSION or feature:POINT.NAME; a name alone will do where it is that of
    one thing, and so will the beginning of a run's id. A job's edges are those it declared last;
    columns are followed where jobs declare them, and whole datasets elsewhere.

    Exit status 0 when answered, 4 when the answer lacks something that it names, 3 when nothing is
    known by that name.
    """
    from forensics.api import open_lake
    from forensics.report.lineage import FORMS, screen

    if sum((as_json, mermaid, dot)) > 1:
        raise UsageError("Use one of --json, --mermaid and --dot.")
    if connected and (upstream or downstream):
        raise UsageError("--connected goes in both directions.", "", "Leave the others out.")
    gc.disable()  # half a million small objects, none of them in a cycle, and then the end
    one_side: Direction = "upstream" if upstream else "downstream"
    found = open_lake(lake_path(lake)).lineage(
        node,
        direction="connected" if connected else one_side if upstream != downstream else "both",
        depth=None if depth < 0 else depth,
        as_of=as_of,
        known_by=known_by,
        all_time=all_time,
        columns=columns,
        namespace=namespace,
    )
    if as_json:
        output.value(found.to_dict())
    elif mermaid or dot:
        for line in FORMS["mermaid" if mermaid else "dot"](found):
            output.text(line)
    else:
        output.lines(screen(found, output.width()))
    ctx.exit(ExitCode.INCOMPLETE if found.missing else ExitCode.ANSWERED)
