"""``forensics demo``."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import click

from forensics.cli import diagnostics, output
from forensics.errors import DependencyError, LakeError

#: Stands in the evidence folder once all of it is in the lake; an interrupted build is taken up.
_DONE = "in-the-lake"
_RECORDS = ("declarations", "changes", "overrides", "outcomes")


@click.command("demo")
@click.option("--scale", type=click.IntRange(1, 2000), default=1, help="N times 30,000 decisions.")
@click.option("--quiet", is_flag=True, help="Only build the lake.")
@click.option(
    "--lake",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where to build it; ./sample-lake by default.",
)
def command(scale: int, quiet: bool, lake: Path | None) -> None:
    """Build the sample lake, then trace one client who was declined in its 02:13 incident.

    A small bank decides on credit lines for 30 days; four things go wrong. The evidence that it
    leaves lands beside the lake, in DIR-evidence. A lake that is there already is used as it is.
    """
    root = lake or Path("sample-lake")
    evidence = root.parent / f"{root.name}-evidence"
    done = evidence / _DONE
    if not done.is_file():
        if (root / "lake.toml").is_file() and not (evidence / "truth.json").is_file():
            raise LakeError(
                f"{root} is a lake that this command did not make.",
                "Invented decisions do not belong in it.",
                "Name a new folder with --lake.",
            )
        _build(root, evidence, scale)
        done.touch()
    if quiet:
        return
    truth = json.loads((evidence / "truth.json").read_text(encoding="utf-8"))
    _explain(root, str(_showcase(truth)))


def _build(root: Path, evidence: Path, scale: int) -> None:
    from forensics.ingest.run import run
    from forensics.ingest.sources import open_source
    from forensics.lake import layout
    from forensics.lake.artifacts import ArtifactStore

    layout.create(root)
    sample = _sample_module()
    with diagnostics.Progress("running the bank for 30 days", 100) as progress:
        sample.build(
            evidence,
            scale=scale,
            progress=lambda what, share: progress.update(int(share * 100), what),
        )
    store = ArtifactStore(root)
    for artifact in sorted((evidence / "artifacts").iterdir()):
        store.put(artifact.read_bytes())
    files = [
        *sorted(evidence.glob("decisions*")),
        *(evidence / f"{name}.jsonl" for name in _RECORDS),
        *sorted((evidence / "lineage").glob("*.jsonl")),
    ]
    for file in files:
        source = open_source(file)
        with diagnostics.Progress(f"ingest {file.name}", source.total) as progress:
            run(root, source, progress=progress.landed)


def _sample_module() -> ModuleType:
    """``sample_data.build``: shipped within the package, or beside it in a checkout."""
    if importlib.util.find_spec("forensics.sample_data") is not None:
        name = "forensics.sample_data.build"
    else:
        checkout = Path(__file__).resolve().parents[2]
        if not (checkout / "sample_data" / "build.py").is_file():
            raise DependencyError(
                "The sample system is not part of this installation.", "", "Install the wheel."
            )
        sys.path.insert(0, str(checkout))
        name = "sample_data.build"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise DependencyError(
            f"The sample system needs {error.name}.",
            "It trains real models and emits real lineage.",
            "Install it: pip install 'decision-forensics[sample]'",
        ) from error


def _showcase(truth: dict[str, object]) -> object:
    if "showcase" in truth:
        return truth["showcase"]
    incidents = truth["incidents"]
    assert isinstance(incidents, list)
    return next(item["showcase"] for item in incidents if "showcase" in item)


def _explain(root: Path, request: str) -> None:
    from forensics.api import open_lake
    from forensics.report import text

    lake = open_lake(root)
    found = lake.trace(request)
    command_line = f"forensics trace {request} --lake {root}"
    output.text(f"$ {command_line}")
    output.text()
    for reconstruction in found:
        output.lines(text.screen(reconstruction, output.width()))
    output.text()
    for line in (
        "What you see: a client was declined at 02:41. Replay gives the recorded bytes, so the",
        "model did what it was told. What it was told is wrong: a pipeline run at 02:13 with new",
        "code wrote one feature as per cent. With the value on its usual scale the same model and",
        "rules approve.",
        "",
        "Go on:",
        f"  forensics find --lake {root} --since 2026-10-21T02:13Z --until 2026-10-21T05:40Z "
        "--where 'utilisation_3m > 5'",
        f"  forensics as-of 2026-10-21T02:41Z --lake {root}",
        f"  {command_line} --json",
    ):
        output.text(line)
