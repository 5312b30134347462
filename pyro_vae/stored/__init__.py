"""From a run folder to something: its model, its data, its measurements.

``loading`` opens a run; ``measured`` measures it on the held-out part of its data and keeps the
results in it.
"""
