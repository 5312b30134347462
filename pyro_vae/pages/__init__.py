"""HTML pages that need no network: the report of a run, and the derivation.

Each is one file with its figures inside it, made from the template beside its module.
"""
