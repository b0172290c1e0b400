"""The wheel holds every file of its three packages, the sample system, and nothing else.

hatchling leaves a misspelt path out without a word, so the built archive is what is compared.
"""

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from forensics_schemas import KINDS

ROOT = Path(__file__).parents[2]
#: Where each folder of the checkout comes to lie in the wheel.
PLACES = {
    "forensics": "forensics",
    "schemas/forensics_schemas": "forensics_schemas",
    "tui/forensics_tui": "forensics_tui",
    "sample_data": "forensics/sample_data",
}


def build(source: Path, target: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    run = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    (archive,) = folder.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return archive


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return zipfile.ZipFile(build(ROOT, "wheel", tmp_path_factory.mktemp("wheel")))


@pytest.fixture(scope="module")
def names(wheel: zipfile.ZipFile) -> set[str]:
    return {name for name in wheel.namelist() if ".dist-info/" not in name}


def test_three_packages_lie_at_the_top(wheel: zipfile.ZipFile) -> None:
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    (metadata,) = {top for top in tops if top.endswith(".dist-info")}
    assert metadata.startswith("decision_forensics-")
    assert tops - {metadata} == {"forensics", "forensics_schemas", "forensics_tui"}


def test_every_file_of_the_checkout_is_in_and_nothing_else(names: set[str]) -> None:
    expected = {
        f"{place}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, place in PLACES.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == expected


@pytest.mark.parametrize("package", ["forensics", "forensics_schemas", "forensics_tui"])
def test_each_package_is_typed(names: set[str], package: str) -> None:
    assert {f"{package}/__init__.py", f"{package}/py.typed"} <= names


def test_the_schemas_are_in(names: set[str]) -> None:
    assert {f"forensics_schemas/{kind}.schema.json" for kind in KINDS} <= names


def test_the_command_is_declared(wheel: zipfile.ZipFile) -> None:
    (entry_points,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "forensics = forensics.__main__:main" in wheel.read(entry_points).decode()


def test_the_unpacked_wheel_runs_without_the_checkout(
    wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    wheel.extractall(tmp_path)
    code = (
        "import json, forensics, forensics_schemas, forensics_tui;"
        "from forensics.cli.main import cli;"
        "cli(['--help'], standalone_mode=False);"
        "print(json.dumps([m.__file__ for m in (forensics, forensics_schemas, forensics_tui)]))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    for file in json.loads(run.stdout.splitlines()[-1]):
        assert Path(file).is_relative_to(tmp_path)


def test_the_source_archive_builds_the_same_wheel(names: set[str], tmp_path: Path) -> None:
    with tarfile.open(build(ROOT, "sdist", tmp_path)) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = (path for path in tmp_path.iterdir() if path.is_dir())
    for name in ("Makefile", "constraints.txt", "docs", "schemas/examples", "tests"):
        assert (source / name).exists()
    rebuilt = zipfile.ZipFile(build(source, "wheel", tmp_path))
    assert {name for name in rebuilt.namelist() if ".dist-info/" not in name} == names
