"""The terminal front: a second thin reader of :mod:`forensics.reconstruct` beside the CLI."""
