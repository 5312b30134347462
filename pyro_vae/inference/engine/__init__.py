"""Log-weights of any (model, guide) pair, and what they stand on.

The data that a pair takes, its traces, the weights, and what weights alone tell: bounds, effective
sample sizes, k-hat. It rests on Pyro, PyTorch, NumPy and ArviZ's smoothing of weights; everything
that the other wings train or measure is a reduction of what is here.
"""
