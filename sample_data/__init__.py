"""A real small decision system and the evidence it leaves behind; see README.md.

The folder is a package with relative imports only, so it works under whatever parent it is shipped
in, and ``build.py`` also runs by path.
"""
