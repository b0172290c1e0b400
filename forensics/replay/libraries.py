"""Finds what runs a model or rule set, without importing it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NamedTuple

from forensics.errors import DependencyError


class _Library(NamedTuple):
    """Where a runtime's library is.

    ``shared`` has the places of the shared library in the module where that is used by itself.
    """

    module: str
    extra: str
    shared: tuple[str, ...] = ()


_LIBRARIES = {
    "xgboost": _Library("xgboost", "models", ("lib/libxgboost.so", "lib/libxgboost.dylib")),
    "lightgbm": _Library(
        "lightgbm",
        "models",
        # Before 4.0 it lay in the package itself.
        ("lib/lib_lightgbm.so", "lib/lib_lightgbm.dylib", "lib_lightgbm.so", "lib_lightgbm.dylib"),
    ),
    "catboost": _Library("catboost", "catboost"),
    "onnx": _Library("onnxruntime", "onnx"),
    "sklearn": _Library("skops", "sklearn"),
    "zen": _Library("zen", "zen"),
    "cel": _Library("cel_expr_python", "cel"),
}

#: What folders of installed packages are called; the others on the path hold programs and tests.
_INSTALLED = ("site-packages", "dist-packages")


def find_library(runtime: str, packages: Path | None = None) -> str:
    """Path of the shared library of ``runtime``, or the folders that hold its Python package.

    Several folders are joined by :data:`os.pathsep`; the answer is empty for what needs no library.

    Args:
        runtime: as :func:`forensics.replay.formats.detect` names it.
        packages: a folder with installed packages that is searched first, and alone where it has
            the library: what is beside it there is of the versions that belong together.

    Raises:
        DependencyError: when it is not installed.
    """
    if runtime == "linear":
        return ""
    library = _LIBRARIES[runtime]
    places = [Path(name) for name in sys.path if name]
    for folders in ([packages] if packages else [], places):
        for folder in folders:
            place = folder / library.module
            if library.shared:
                for name in library.shared:
                    if (place / name).exists():
                        return str(place / name)
            elif place.is_dir() or any(folder.glob(f"{library.module}.*.so")):
                beside = [other for other in folders if other.name in _INSTALLED]
                return os.pathsep.join(dict.fromkeys(map(str, [folder, *beside])))
    raise DependencyError(
        f"The {runtime} library is not installed here.",
        "A model is run by the library that made it.",
        f"pip install 'decision-forensics[{library.extra}]'",
    )
