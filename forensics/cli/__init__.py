"""The command line: one file per command, a thin front on the library."""
