"""The program: ``forensics`` and ``python -m forensics``."""

import os
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; also an interrupt while it is being loaded ends it quietly."""
    try:
        from forensics.cli.exit_codes import ExitCode
        from forensics.cli.main import run

        status = run(sys.argv[1:])
        if status != ExitCode.STOPPED:
            sys.exit(status)
    except KeyboardInterrupt:
        pass
    # At once: a thread of DuckDB that is still at work would abort within Python's own end.
    os._exit(130)


if __name__ == "__main__":
    main()
