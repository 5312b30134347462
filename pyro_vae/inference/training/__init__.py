"""Objectives, one a file, and the SVI loop that raises any of them.

``fit`` trains a pair and keeps it in a run, ``sweep`` fits one run of many, ``local`` a guide with
parameters of its own for each datum; ``gradients`` compares objectives by the noise of their
gradients.
"""
