"""Exact runtimes: folders with the recorded version of a model's library, built once and kept.

A folder holds what ``pip install --target`` (or ``uv pip install``) puts there, from wheels alone:
nothing of a package runs while it is installed. It is meant for
:class:`forensics.replay.client.ModelWorker`'s ``packages``.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

from forensics.errors import DependencyError, ReplayError

#: By recorded name of a runtime, what to install beside the package of that version; packages that
#: are used as a shared library alone need nothing.
_RUNTIMES = {
    "xgboost": ("xgboost", ()),
    "xgboost-cpu": ("xgboost", ()),
    "lightgbm": ("lightgbm", ()),
    "catboost": ("catboost", ()),
    "onnxruntime": ("onnxruntime", ()),
    "onnx": ("onnxruntime", ()),
    "scikit-learn": ("scikit-learn", ("skops", "pandas")),
    "sklearn": ("scikit-learn", ("skops", "pandas")),
}
_ALONE = frozenset({"xgboost", "lightgbm"})
_VERSION = re.compile(r"\d+(\.\d+)*([abc]|rc|\.?post|\.?dev)?\d*")
_INSTALL_S = 1_200
_UNREACHABLE = ("NewConnectionError", "Max retries", "Connection", "error sending request", "dns")


def library_of(runtime: str) -> str:
    """A recorded name of a runtime as the library calls itself: ``scikit-learn`` for ``sklearn``.

    Names that are not known stay as they are.
    """
    library, _ = _RUNTIMES.get(_folded(runtime), (runtime, ()))
    return library


def _folded(runtime: str) -> str:
    return runtime.strip().lower().replace("_", "-")


def requirements(decision_runtime: str | None, version: str | None) -> Mapping[str, str]:
    """What must be installed to run a model as a decision's record says it was run.

    Versions by package; an empty one is whichever fits the others.

    Raises:
        ReplayError: when the record does not say, or names a runtime that is not known here.
    """
    if not decision_runtime or not version:
        what = "library" if not decision_runtime else "version of its library"
        raise ReplayError(
            "No exact runtime can be built.",
            f"The decision did not record the {what} that ran its model.",
            "Record model.runtime and model.runtime_version, or replay with what is installed.",
        )
    known = _RUNTIMES.get(_folded(decision_runtime))
    if known is None or not _VERSION.fullmatch(version.strip()):
        said = f"{decision_runtime} {version}"
        raise ReplayError(
            f"No exact runtime can be built for {said[:80]!r}.",
            f"Known are versions of {', '.join(sorted({name for name, _ in _RUNTIMES.values()}))}.",
            "Replay with what is installed.",
        )
    package, beside = known
    return {package: version.strip(), **dict.fromkeys(beside, "")}


def exact_environment(requirements: Mapping[str, str]) -> Path:
    """A folder with those packages, from the cache, or installed now.

    The cache is ``$XDG_CACHE_HOME/decision-forensics/runtimes``. A folder appears in it whole, and
    of two processes that want the same one installs it while the other waits.

    Args:
        requirements: see :func:`requirements`.

    Raises:
        ReplayError: when they cannot be installed: no such version, or no way to the index.
        DependencyError: when neither uv nor pip is installed.
    """
    cache = _cache()
    name = _digest(requirements)
    folder = cache / name
    if folder.is_dir():
        return folder
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / f".{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.is_dir():
                part = cache / f".{name}.part"
                shutil.rmtree(part, ignore_errors=True)  # of a process that died
                try:
                    _install(requirements, part)
                    part.rename(folder)
                finally:
                    shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise ReplayError(
            f"{_said(requirements)} cannot be installed.",
            f"{error}.",
            f"Free or open {cache}, or name another with XDG_CACHE_HOME.",
        ) from error
    return folder


def _install(requirements: Mapping[str, str], folder: Path) -> None:
    """Runs pip, with the next alternative where the first has no such version."""
    said = ""
    for packages, options in _alternatives(requirements):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        command = [*_installer(folder), *options, *packages]
        try:
            ran = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_INSTALL_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ReplayError(
                f"{_said(requirements)} cannot be installed.",
                f"It took more than {_INSTALL_S:,} s.",
            ) from None
        if ran.returncode == 0:
            return
        said = ran.stderr or ran.stdout
    raise _failure(requirements, said)


def _alternatives(
    requirements: Mapping[str, str],
) -> list[tuple[Sequence[str], Sequence[str]]]:
    """What to ask for, one after the other until one is there."""
    asked = [f"{name}=={at}" if at else name for name, at in requirements.items()]
    options = ["--no-deps"] if _ALONE.issuperset(requirements) else []
    found: list[tuple[Sequence[str], Sequence[str]]] = [(asked, options)]
    if sys.platform == "linux" and "xgboost" in requirements:
        # The same library without what it needs for GPUs, which is 469 MB.
        lean = [text.replace("xgboost==", "xgboost-cpu==") for text in asked]
        found.insert(0, (lean, options))
    return found


def _installer(folder: Path) -> list[str]:
    wheels = ["--only-binary", ":all:", "--target", str(folder)]
    uv = shutil.which("uv")
    if uv is not None:
        return [uv, "pip", "install", "--quiet", "--python", sys.executable, *wheels]
    from importlib.util import find_spec

    if find_spec("pip") is None:
        raise DependencyError(
            "No exact runtime can be built.",
            "Neither uv nor pip is installed here.",
            "Install one of them, or replay with what is installed.",
        )
    quiet = ["--quiet", "--no-input", "--disable-pip-version-check", "--no-compile"]
    return [sys.executable, "-m", "pip", "install", *quiet, "--retries", "1", *wheels]


def _failure(requirements: Mapping[str, str], said: str) -> ReplayError:
    what = f"{_said(requirements)} cannot be installed."
    known = re.search(r"from versions: ([^)]+)\)", said)
    versions = [text.strip() for text in known[1].split(",")] if known else []
    if versions not in ([], ["none"]) or "there is no version of" in said:
        there = f"; there are {', '.join(versions[-8:])}" if versions else ""
        return ReplayError(
            what,
            f"No such version for Python {_python()} on {sysconfig.get_platform()}{there}.",
            "Replay with another, or with what is installed.",
        )
    if any(word in said for word in _UNREACHABLE):
        return ReplayError(
            what,
            "The package index cannot be reached.",
            "Build it once with a way to the index: it is kept from then on.",
        )
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("error", "cause"))]
    last = (errors or lines or ["the installer said nothing"])[-1][:300]
    return ReplayError(what, f"{last}.".replace("..", "."), "Replay with what is installed.")


def _said(requirements: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {at}".strip() for name, at in requirements.items())


def _digest(requirements: Mapping[str, str]) -> str:
    """A name for these packages on this interpreter and machine."""
    canonical = json.dumps([sorted(requirements.items()), _python(), sysconfig.get_platform()])
    return hashlib.sha256(canonical.encode()).hexdigest()


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    folder = Path(base) if base else Path.home() / ".cache"
    return folder / "decision-forensics" / "runtimes"
