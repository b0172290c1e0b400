"""The one door to DuckDB: connections that read the lake's files and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from forensics.errors import IntegrityError, ReplayError

if TYPE_CHECKING:
    import duckdb
else:
    try:  # the engine alone: its package's Python half takes a third of a look-up's time to load
        import _duckdb as duckdb
    except ImportError:
        import duckdb

Connection = duckdb.DuckDBPyConnection
SqlError = duckdb.Error
BinderError = duckdb.BinderException
#: What an expression of the user's can end in: it is well-formed, and the values do not suit it.
ExpressionError = (duckdb.ConversionException, duckdb.BinderException, duckdb.OutOfRangeException)


def connect(
    folders: Iterable[Path] = (),
    *,
    threads: int | None = None,
    footers: bool = True,
    whole: bool = True,
) -> Connection:
    """A DuckDB connection in memory that may read ``folders`` and can do nothing else outside.

    Times come out in UTC, no extension can be installed or loaded, and the settings are locked, so
    an expression that slips through every other check still reaches no file and no network.

    Args:
        folders: what may be read.
        threads: how many it uses; all cores where None.
        footers: keep the footers of files between questions: they need not be read again, and take
            3 MB of memory a file.
        whole: whether it can do all that :func:`with_tables` says from the start.
    """
    config: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,
    }
    if threads is not None:
        config["threads"] = threads
    connection = duckdb.connect(":memory:", config=config)
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")  # it would write into our answers
    # DuckDB 2.0.0 fails on a small LIMIT after a filter within a struct when it fetches rows late.
    connection.execute("SET disabled_optimizers = 'late_materialization'")
    if footers:  # a data file's name is never used again for other bytes
        connection.execute("SET parquet_metadata_cache = true")
    allowed = [str(folder.resolve()) + "/" for folder in folders]
    if allowed:
        connection.execute(f"SET allowed_directories = {literal(allowed)}")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return with_tables(connection) if whole else connection


def with_tables(connection: Connection) -> Connection:
    """``connection``, which can now make relations, and read and answer with Arrow tables."""
    import duckdb  # noqa: F401  its Python half, which adds that to every connection

    return connection


@contextmanager
def reading(what: str, todo: str = "Restore it from a backup.") -> Iterator[None]:
    """Make a failure to read ``what``, named as a sentence begins, one that says what to do.

    Raises:
        IntegrityError: when a file is gone or is not what was written.
    """
    try:
        yield
    except duckdb.Error as error:
        why = str(error).splitlines()[0]
        raise IntegrityError(f"{what} cannot be read.", why, todo) from error


@contextmanager
def limited(connection: Connection, seconds: float, what: str = "The rule") -> Iterator[None]:
    """End what ``connection`` does within, once it has taken ``seconds``. Costs under 100 µs.

    DuckDB looks for an interrupt between the batches of rows it works on, not within one, so what
    one batch may cost has to be limited before: see :mod:`forensics.lake.effort`.

    Args:
        connection: must be used for nothing else meanwhile.
        seconds: how long all that is done within may take together.
        what: how the error begins.

    Raises:
        ReplayError: when the time was up and a query was running.
    """
    finished, expired = threading.Event(), threading.Event()

    def watch() -> None:
        wait_s = seconds
        # Again and again: an interrupt between two queries would be forgotten by the second.
        while not finished.wait(wait_s):
            expired.set()
            connection.interrupt()
            wait_s = 0.05

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    except duckdb.InterruptException as error:
        if not expired.is_set():
            raise
        raise ReplayError(
            f"{what} needed more than {seconds:g} s.",
            "It was ended: a rule that never ends must not stop everything else.",
            "Simplify it, or ask for fewer decisions at a time.",
        ) from error
    finally:
        finished.set()
        watcher.join()  # an interrupt on its way must not reach the next query


def query(name: str, **parts: str) -> str:
    """The text of ``queries/<name>.sql`` with ``parts``, SQL themselves, put in for ``{names}``.

    Lines that are comments are left out: a part that one names would end it, at a line break in a
    literal, and the rest of it be taken for SQL.
    """
    text = (Path(__file__).parent / "queries" / f"{name}.sql").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines(keepends=True) if not line.startswith("--"))
    return "".join(lines).format(**parts)


def literal(value: str | int | float | Iterable[str]) -> str:
    """``value`` as an SQL literal: text quoted, a collection of text as a list."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, (int, float)):
        return repr(value)
    return "[" + ", ".join(literal(item) for item in value) + "]"


def columns(wanted: Mapping[str, str], there: Collection[str]) -> str:
    """A select list of ``wanted`` names with their types; those not ``there`` are typed nulls."""
    return ", ".join(
        name if name in there else f"NULL::{type_} AS {name}" for name, type_ in wanted.items()
    )


def identifier(name: str) -> str:
    """``name`` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
