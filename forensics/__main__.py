"""The program: ``forensics`` and ``python -m forensics``."""

import atexit
import gc
import os
import sys
from contextlib import suppress
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; also an interrupt while it is being loaded ends it quietly."""
    # A look-up makes fewer objects than this, nearly all to stay: searching them finds nothing.
    gc.set_threshold(50_000)
    try:
        from forensics.cli.exit_codes import ExitCode
        from forensics.cli.main import run

        status = run(sys.argv[1:])
        if status != ExitCode.STOPPED:
            _end(status)
    except KeyboardInterrupt:
        pass
    # At once: a thread of DuckDB that is still at work would abort within Python's own end.
    os._exit(130)


def _end(status: int) -> NoReturn:
    """End with ``status``: taking modules and DuckDB apart first is a tenth of a look-up."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, AttributeError):  # nobody reads any more, or it never was open
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
