"""Is the guide right, is the model right, is the code right.

Calibration of the guide by simulation, posterior and predictive draws with their p-values, their
way to ArviZ, and ``verify``, which holds an objective or an estimator of anybody's against models
with known answers.
"""
