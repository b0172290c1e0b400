"""A snapshot opens its connection when it is needed, or ahead of that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forensics.lake import snapshot as snapshot_
from forensics.lake.snapshot import take
from forensics.lake.sql import Connection, SqlError
from forensics.testing import decision_record


def test_a_connection_that_was_opened_ahead_is_the_one_that_answers(
    lake: Path, take_in: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    take_in([decision_record(decision_id="d-1")])
    opened: list[Path] = []
    connect = snapshot_._connect

    def counted(root: Path) -> Connection:
        opened.append(root)
        return connect(root)

    monkeypatch.setattr(snapshot_, "_connect", counted)
    snapshot = take(lake)
    snapshot.connect_ahead()
    assert len(snapshot.locate("d-1")) == 1
    connection = snapshot.connection
    snapshot.connect_ahead()
    assert snapshot.connection is connection
    assert opened == [lake]


def test_what_fails_ahead_fails_where_the_connection_is_needed(
    lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(root: Path) -> Connection:
        raise SqlError("no memory is left")

    monkeypatch.setattr(snapshot_, "_connect", refused)
    snapshot = take(lake)
    snapshot.connect_ahead()
    with pytest.raises(SqlError, match="no memory is left"):
        assert snapshot.connection is not None
