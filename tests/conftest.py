"""What tests share: the sample lake and its truth, the corpus, and two ways to run the command."""

from __future__ import annotations

import fcntl
import io
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import hypothesis
import pytest

from forensics.ingest.run import Report
from forensics.ingest.run import run as ingest
from forensics.ingest.sources import open_source
from forensics.lake import layout
from forensics.testing import write_lines

REPOSITORY = Path(__file__).resolve().parents[1]
COMMAND = (sys.executable, "-m", "forensics")


#: Two processes share two cores here: how long an example takes says nothing.
hypothesis.settings.register_profile(
    "shared", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("shared")


class Ran(NamedTuple):
    """What a command did: its exit status, its answer, and what else it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def rows(self) -> list[Any]:
        return [json.loads(line) for line in self.out.split("\n") if line]


Run = Callable[..., Ran]


def _in_memory(folder: Path) -> bool:
    """Whether tests can have their lakes, and programs that they build, in a folder in memory."""
    if not folder.is_dir():
        return False
    room = os.statvfs(folder)
    return room.f_bavail * room.f_frsize > 2 << 30 and not room.f_flag & os.ST_NOEXEC


#: A lake waits for the disk some forty times for each file that it takes in.
_MEMORY = Path("/dev/shm")
if _in_memory(_MEMORY):
    os.environ.setdefault("TMPDIR", str(_MEMORY))
    tempfile.tempdir = None  # what it was before may have been asked for already

#: Not among those of the person who runs the tests.
os.environ["FORENSICS_KEY_DIR"] = str(REPOSITORY / "build" / "test-keys")
os.environ["XDG_STATE_HOME"] = str(REPOSITORY / "build" / "test-state")


@pytest.fixture(scope="session")
def sample_lake() -> Path:
    """The sample lake, built once for all test processes; nobody may write to it."""
    build = REPOSITORY / "build"
    build.mkdir(exist_ok=True)
    lake = build / "sample-lake"
    with (build / ".sample-lake.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_current(lake):
            _build(lake)
    return lake


@pytest.fixture(scope="session")
def truth(sample_lake: Path) -> dict[str, Any]:
    """What went wrong in the sample, with the request ids that each fault touched."""
    path = sample_lake.with_name(f"{sample_lake.name}-evidence") / "truth.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Foreign data: FORENSICS_CORPUS, else ../shared/corpus beside the repository."""
    named = os.environ.get("FORENSICS_CORPUS")
    path = Path(named) if named else REPOSITORY.parent / "shared" / "corpus"
    if not path.is_dir():
        pytest.skip(f"the corpus is not at {path}; name it in FORENSICS_CORPUS")
    return path


@pytest.fixture(scope="session")
def browser() -> str:
    """The browser that opens pages: FORENSICS_BROWSER, else a Chromium that is installed."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    found = os.environ.get("FORENSICS_BROWSER") or next(filter(None, map(shutil.which, names)), "")
    if not found:
        pytest.skip("no Chromium is installed; name one in FORENSICS_BROWSER")
    return found


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """An empty lake."""
    root = tmp_path / "lake"
    layout.create(root)
    return root


@pytest.fixture
def take_in(lake: Path, tmp_path: Path) -> Callable[..., Report]:
    """Take records, or a file of them, into the empty lake."""
    numbers = itertools.count(1)

    def take_in(records: Path | Iterable[Mapping[str, Any] | bytes | str]) -> Report:
        if not isinstance(records, Path):
            records = write_lines(tmp_path / f"records-{next(numbers)}.jsonl", records)
        return ingest(lake, open_source(records))

    return take_in


@pytest.fixture(scope="session")
def forensics_command() -> Run:
    """Run ``forensics ARGUMENTS`` in a process of its own, as a person or a script does."""

    def run(
        *arguments: object,
        input: bytes | None = None,
        environment: dict[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Ran:
        done = subprocess.run(
            [*COMMAND, *map(str, arguments)],
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            env={**_environment(), **(environment or {})},
            cwd=cwd,
            timeout=300,
            check=False,
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.fixture(scope="session")
def run() -> Run:
    """Run ``forensics ARGUMENTS`` within this process: the same, without the start-up.

    ``columns`` is how wide it says the terminal is; a pipe of any width where None.
    """
    from forensics.cli import main

    def run(*arguments: object, columns: int | None = None) -> Ran:
        out, err = io.StringIO(), io.StringIO()
        # Where the tests run says nothing of how wide an answer is to be.
        width = {} if columns is None else {"COLUMNS": str(columns)}
        kept = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
        with (
            patch.dict(os.environ, {**kept, **width}, clear=True),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            code = main.run([str(argument) for argument in arguments])
        return Ran(int(code), out.getvalue(), err.getvalue())

    return run


def _environment() -> dict[str, str]:
    ours = ("FORENSICS_LAKE", "NO_COLOR", "FORCE_COLOR", "COLUMNS")
    return {name: value for name, value in os.environ.items() if name not in ours}


def _is_current(lake: Path) -> bool:
    """Whether the lake is there, and no older than the programs that made it."""
    truth = lake.with_name(f"{lake.name}-evidence") / "truth.json"
    if not (lake / "lake.toml").is_file() or not truth.is_file():
        return False
    sources = [p for p in (REPOSITORY / "sample_data").rglob("*") if p.suffix in (".py", ".sql")]
    contract = REPOSITORY / "schemas" / "forensics_schemas"
    sources += [contract / "arrow.py", *(contract / "kinds").glob("*.py")]
    return (lake / "lake.toml").stat().st_mtime >= max(path.stat().st_mtime for path in sources)


def _build(lake: Path) -> None:
    """Build beside the old one, then put it in its place: a run that dies leaves no half lake."""
    new = lake.with_name(f".{lake.name}-new")
    for path in (new, Path(f"{new}-evidence")):
        shutil.rmtree(path, ignore_errors=True)
    subprocess.run(
        [*COMMAND, "demo", "--lake", str(new), "--quiet"],
        check=True, env=_environment(), cwd=REPOSITORY, timeout=300,
    )  # fmt: skip
    for suffix in ("-evidence", ""):
        old = Path(f"{lake}{suffix}")
        shutil.rmtree(old, ignore_errors=True)
        Path(f"{new}{suffix}").rename(old)
