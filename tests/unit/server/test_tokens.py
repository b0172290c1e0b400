"""A token is known by its digest, may do what its scopes say, and no faster than its rate."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from forensics.errors import UsageError
from forensics.server import tokens
from forensics.server.refusal import Refusal
from forensics.server.tokens import Bucket

DIGEST = hashlib.sha256(b"secret").hexdigest()
Write = Callable[..., Path]


def test_a_sender_is_found_by_its_token_alone(tokens_file: Write) -> None:
    path = tokens_file(a=("secret", ["lineage"]), b=("other", ["decisions", "changes"]))
    loaded = tokens.load(path, 10.0)
    assert tokens.find(loaded, "Bearer secret").name == "a"
    assert tokens.find(loaded, "bearer other ").name == "b"


@pytest.mark.parametrize(
    "header",
    [None, "", "secret", "Bearer", "Bearer ", "Basic secret", "Bearer secret2", "Bearer é"],
)
def test_anything_else_is_401(tokens_file: Write, header: str | None) -> None:
    loaded = tokens.load(tokens_file(a=("secret", ["lineage"])), 10.0)
    with pytest.raises(Refusal) as caught:
        tokens.find(loaded, header)
    assert caught.value.status == 401
    assert "WWW-Authenticate" in caught.value.headers


def test_a_scope_that_is_not_there_is_403(tokens_file: Write) -> None:
    (token,) = tokens.load(tokens_file(a=("secret", ["lineage"])), 10.0)
    token.admit("lineage")
    with pytest.raises(Refusal) as caught:
        token.admit("decisions")
    assert caught.value.status == 403


def test_too_fast_is_429_with_the_time_to_wait(tokens_file: Write) -> None:
    (token,) = tokens.load(tokens_file(a=("secret", ["decisions"], 10)), 1e6)
    token.admit("decisions")
    token.bucket.take(520)
    with pytest.raises(Refusal) as caught:
        token.admit("decisions")
    assert caught.value.status == 429
    assert 40 <= int(caught.value.headers["Retry-After"]) <= 50


def test_a_bucket_fills_with_time_and_not_beyond_its_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("forensics.server.tokens.time.monotonic", lambda: now)
    bucket = Bucket(10.0)
    bucket.take(50)
    assert bucket.wait_seconds() == pytest.approx(3.0)
    now += 3.1
    assert bucket.wait_seconds() == 0
    now += 1e6
    assert bucket.wait_seconds() == 0
    bucket.take(21)
    assert bucket.wait_seconds() > 0


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "names no tokens"),
        ("token = 3", "names no tokens"),
        ("[[token]", "cannot be read"),
        (f'[[token]]\nname="a"\nsha256="{DIGEST}"\nscopes=["all"]', "scopes"),
        (f'[[token]]\nname="a"\nsha256="{DIGEST}"\nscopes=[]', "scopes"),
        (f'[[token]]\nname="a"\nsha256="{DIGEST}"', "scopes"),
        ('[[token]]\nname="a"\nsha256="secret"\nscopes=["lineage"]', "hexadecimal"),
        (f'[[token]]\nname="a b"\nsha256="{DIGEST}"\nscopes=["lineage"]', "name"),
        (f'[[token]]\nsha256="{DIGEST}"\nscopes=["lineage"]', "name"),
        (f'[[token]]\nname="a"\nsha256="{DIGEST}"\nscopes=["lineage"]\nrate=1', "'rate'"),
        (
            f'[[token]]\nname="a"\nsha256="{DIGEST}"\nscopes=["lineage"]\nrecords_per_second=0',
            "records_per_second",
        ),
        (
            f'[[token]]\nname="a"\nsha256="{hashlib.sha256().hexdigest()}"\nscopes=["lineage"]',
            "nothing",
        ),
        (f'[[token]]\nname="a"\nsha256="{DIGEST}"\nscopes=["lineage"]\n' * 2, "same name"),
    ],
)
def test_a_file_with_a_mistake_is_refused_with_the_mistake(
    tmp_path: Path, text: str, why: str
) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        tokens.load(path, 1.0)
    assert why in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        tokens.load(tmp_path / "none.toml", 1.0)
