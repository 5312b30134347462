"""What lies on disk, and how it gets there.

Files written whole and folders with one writer (``files``), files that say whether they are what
was written (``sealed``), settings read back and checked against types (``schema``), and a run,
which is made of these (``runs``).
"""
