"""The nearest change of a decision's inputs that gives another outcome, proven where time allows.

All of this works on numbers alone: a :class:`~forensics.explain.search.problem.Problem` goes in, a
:class:`~forensics.explain.search.problem.Found` comes out of
:func:`forensics.explain.search.engine.search`. That module loads numpy; this one, ``problem`` and
``conditions`` do not.
"""
