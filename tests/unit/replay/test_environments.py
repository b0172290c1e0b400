"""Exact runtimes: the recorded version, installed by the real installer, once and whole."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

from forensics.errors import ReplayError
from forensics.replay.client import ModelWorker
from forensics.replay.environments import exact_environment, library_of, requirements
from forensics.replay.libraries import find_library

REPOSITORY = Path(__file__).resolve().parents[3]
Wheel = Callable[..., None]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "decision-forensics" / "runtimes"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Wheel:
    """A folder of wheels that is all the index that pip has, and how to put one into it."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PATH", "")  # where uv might be, which would ask the real index

    def put(name: str, version: str, module: str, needs: str = "", file: str = "x.py") -> None:
        info = f"{name}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{module}/{file}", f"{name} {version}")
            wheel.writestr(
                f"{info}/METADATA", metadata + (f"Requires-Dist: {needs}\n" if needs else "")
            )
            wheel.writestr(
                f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            wheel.writestr(f"{info}/RECORD", "")

    return put


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_record_names_the_packages_that_its_model_ran_under() -> None:
    assert requirements("xgboost", "3.1.2") == {"xgboost": "3.1.2"}
    assert requirements("XGBoost-CPU", "3.1.2") == {"xgboost": "3.1.2"}
    assert requirements("onnxruntime", " 1.22.0 ") == {"onnxruntime": "1.22.0"}
    assert requirements("scikit_learn", "1.6.1") == {
        "scikit-learn": "1.6.1", "skops": "", "pandas": "",
    }  # fmt: skip


def test_a_library_is_the_same_by_each_of_its_names() -> None:
    assert library_of("sklearn") == library_of("scikit_learn") == "scikit-learn"
    assert library_of("onnx") == library_of("ONNXRuntime") == "onnxruntime"
    assert library_of("ours") == "ours"


@pytest.mark.parametrize(
    ("runtime", "version", "reason"),
    [
        (None, "3.1.2", "did not record the library"),
        ("xgboost", None, "did not record the version"),
        ("xgboost", "", "did not record the version"),
        ("tensorflow", "2.0", "Known are versions of catboost, lightgbm"),
        ("xgboost", "--target=/x", "Known are"),
        ("xgboost", "3.1.2 evil", "Known are"),
        ("xgboost", "3.1.2; import os", "Known are"),
        ("xgboost", "https://x/y.whl", "Known are"),
    ],
)
def test_what_is_no_known_runtime_is_never_installed(
    runtime: str | None, version: str | None, reason: str
) -> None:
    with pytest.raises(ReplayError, match=reason):
        requirements(runtime, version)


@pytest.mark.skipif(sys.platform != "linux", reason="the lean package is for Linux")
def test_the_recorded_version_is_found_in_its_folder(index: Wheel) -> None:
    for version in ("3.0.0", "3.1.2"):
        index("xgboost_cpu", version, "xgboost", file="lib/libxgboost.so")
    folder = exact_environment({"xgboost": "3.0.0"})
    library = Path(find_library("xgboost", folder))
    assert library == folder / "xgboost" / "lib" / "libxgboost.so"
    assert library.read_text() == "xgboost_cpu 3.0.0"
    assert folder != exact_environment({"xgboost": "3.1.2"})


def test_where_there_is_no_lean_package_the_whole_one_serves_without_what_it_needs(
    index: Wheel,
) -> None:
    index("xgboost", "1.0.0", "xgboost", needs="nvidia-everything", file="lib/libxgboost.so")
    folder = exact_environment({"xgboost": "1.0.0"})
    assert Path(find_library("xgboost", folder)).read_text() == "xgboost 1.0.0"


def test_a_python_package_comes_with_what_it_needs(index: Wheel) -> None:
    index("catboost", "1.2.0", "catboost", needs="numpy<2", file="__init__.py")
    index("numpy", "1.9.0", "numpy", file="__init__.py")
    index("numpy", "2.9.0", "numpy", file="__init__.py")
    folder = exact_environment({"catboost": "1.2.0"})
    assert (folder / "numpy" / "__init__.py").read_text() == "numpy 1.9.0"
    assert find_library("catboost", folder) == str(folder)


def test_a_folder_is_built_once_and_needs_no_index_again(
    index: Wheel, tmp_path: Path, cache: Path
) -> None:
    index("lightgbm", "4.0.0", "lightgbm")
    folder = exact_environment({"lightgbm": "4.0.0"})
    before = contents(folder)
    for wheel in (tmp_path / "wheels").iterdir():
        wheel.unlink()
    assert exact_environment({"lightgbm": "4.0.0"}) == folder
    assert contents(folder) == before
    assert [path for path in cache.iterdir() if path.is_dir()] == [folder]


def test_an_unknown_version_is_said_with_those_that_there_are(index: Wheel, cache: Path) -> None:
    for version in ("4.0.0", "4.1.0"):
        index("lightgbm", version, "lightgbm")
    with pytest.raises(ReplayError) as caught:
        exact_environment({"lightgbm": "9.9.9"})
    assert "lightgbm 9.9.9 cannot be installed" in caught.value.what
    assert "No such version for Python" in caught.value.why
    assert "4.1.0" in caught.value.why
    assert caught.value.todo
    assert not [path for path in cache.iterdir() if path.is_dir()]


def test_a_package_that_would_have_to_be_built_is_not_run(index: Wheel, tmp_path: Path) -> None:
    import tarfile

    trap = tmp_path / "setup.py"
    trap.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with tarfile.open(tmp_path / "wheels" / "lightgbm-4.0.0.tar.gz", "w:gz") as archive:
        archive.add(trap, "lightgbm-4.0.0/setup.py")
    with pytest.raises(ReplayError, match=r"lightgbm 4\.0\.0 cannot be installed"):
        exact_environment({"lightgbm": "4.0.0"})
    assert not (tmp_path / "ran").exists()


def test_what_a_killed_installation_left_behind_is_not_taken_for_whole(
    index: Wheel, cache: Path
) -> None:
    index("lightgbm", "4.0.0", "lightgbm")
    name = exact_environment({"lightgbm": "4.0.0"}).name
    whole = contents(cache / name)
    (cache / name).rename(cache / f".{name}.part")
    (cache / f".{name}.part" / "lightgbm" / "half").write_text("x")
    assert contents(exact_environment({"lightgbm": "4.0.0"})) == whole
    assert not (cache / f".{name}.part").exists()


def test_two_processes_that_want_the_same_get_the_same(index: Wheel, cache: Path) -> None:
    index("lightgbm", "4.0.0", "lightgbm")
    code = (
        "from forensics.replay.environments import exact_environment as e;"
        "print(e({'lightgbm': '4.0.0'}))"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY,
        )
        for _ in range(3)
    ]  # fmt: skip
    said = [process.communicate(timeout=120) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], said
    (folder,) = {out.strip() for out, _ in said}
    assert [str(path) for path in cache.iterdir() if path.is_dir()] == [folder]


def test_without_an_installer_it_says_so(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(REPOSITORY)!r})\n"
        "from forensics.replay.environments import exact_environment\n"
        "from forensics.errors import DependencyError\n"
        "try:\n    exact_environment({'lightgbm': '4.0.0'})\n"
        "except DependencyError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        capture_output=True, text=True, check=True,
        env={"PATH": "", "XDG_CACHE_HOME": str(tmp_path)},
    )  # fmt: skip
    assert "Neither uv nor pip is installed here" in done.stdout


def test_a_cache_that_cannot_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(ReplayError, match="XDG_CACHE_HOME"):
        exact_environment({"lightgbm": "4.0.0"})


@pytest.mark.torture
@pytest.mark.parametrize("version", ["2.1.4", "3.1.2"])
def test_a_model_that_an_earlier_xgboost_saved_gives_the_same_bytes_under_it(
    cache: Path, tmp_path: Path, version: str
) -> None:
    """Needs the package index: installs 11 MB."""
    folder = exact_environment(requirements("xgboost", version))
    code = (
        f"import sys; sys.path.insert(0, {str(folder)!r})\n"
        "import numpy as np, xgboost\n"
        "rows = np.random.default_rng(1).normal(size=(300, 5)).astype('f4')\n"
        "model = xgboost.train({'objective': 'binary:logistic'},"
        " xgboost.DMatrix(rows, rows[:, 0] > 0), 30)\n"
        "model.save_model('model.ubj')\n"
        "rows.tofile('rows'); model.inplace_predict(rows).astype('f4').tofile('scores')\n"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": ""}
    )
    rows = array("f", (tmp_path / "rows").read_bytes())
    for packages, ran in ((folder, version), (None, None)):
        with ModelWorker(tmp_path / "model.ubj", packages=packages) as worker:
            found = worker.describe()
            (scores,) = worker.predict(rows, 300)
        assert found.file_version == version
        assert ran is None or found.runtime == f"xgboost {ran}"
        assert scores.tobytes() == (tmp_path / "scores").read_bytes()
