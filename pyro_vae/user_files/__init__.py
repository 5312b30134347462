"""Python files of a user's: names in them (``named``), in a process of their own (``apart``).

``marked`` marks what a student wrote: an objective, an estimator of log p(x), or a likelihood.
"""
