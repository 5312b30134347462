"""How far a random estimate may be from its oracle, written once."""

#: Standard errors; a correct estimator fails such a test once in 1.7 million (normal tails).
STANDARD_ERRORS = 5.0
