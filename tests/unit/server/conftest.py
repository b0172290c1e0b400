"""A server for the test's lake, and files of tokens."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# A module of its own beside this file; with importlib mode there is no path to it.
_spec = importlib.util.spec_from_file_location("serving", Path(__file__).parent / "serving.py")
assert _spec is not None
assert _spec.loader is not None
if "serving" not in sys.modules:
    sys.modules["serving"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["serving"])


@pytest.fixture
def serve(lake: Path) -> Iterator[Any]:
    """Start a server for the test's lake, with options."""
    started: list[Any] = []

    def serve(*options: object) -> Any:
        started.append(sys.modules["serving"].Serving(lake, *options))
        return started[-1]

    yield serve
    for serving in started:
        serving.kill()


@pytest.fixture
def tokens_file(tmp_path: Path) -> Callable[..., Path]:
    """A file of tokens from ``name=("token", [scopes], rate)``."""

    def write(**tokens: tuple[Any, ...]) -> Path:
        lines = []
        for name, (token, scopes, *rate) in tokens.items():
            digest = hashlib.sha256(token.encode()).hexdigest()
            lines += ["[[token]]", f'name = "{name}"', f'sha256 = "{digest}"']
            lines += [f"scopes = {json.dumps(scopes)}"]
            lines += [f"records_per_second = {each}" for each in rate]
        path = tmp_path / "tokens.toml"
        path.write_text("\n".join(lines), encoding="utf-8")
        return path

    return write
