"""From a file, or from what a person holds in Python, to a data set.

``formats`` says which files can be read, and by whom; ``delimited`` reads CSV and TSV, ``images``
pictures; ``parts`` cuts rows into splits; ``origin`` remembers where data came from, and finds
them again; ``reader`` puts it together.
"""
