"""The schema of a table of one's own: kinds, likelihoods, levels, units.

``cells`` reads frames, ``kinds`` tells what columns are, ``choices`` what a person says of them,
``column`` and ``schema`` make numbers of cells, and cells of numbers.
"""
