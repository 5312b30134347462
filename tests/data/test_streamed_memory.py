"""Memory of a process that streams a file stays what it is, while the file grows."""

import pytest

from benchmarks.streaming import grown, write_pictures

#: Bytes that rows may take in memory here, and those by which peaks may differ.
MEMORY, ALLOWED = 2**25, 2**24


@pytest.mark.slow
@pytest.mark.parametrize("what", ["fit", "evaluate"])
def test_a_file_of_four_times_the_memory_takes_no_more_than_one_that_fits(tmp_path, what):
    peaks = []
    for length in (1, 4):
        write_pictures(tmp_path / "x.npy", length * MEMORY)
        peaks.append(grown(tmp_path / "x.npy", what, MEMORY))
    assert peaks[1] < peaks[0] + ALLOWED
    # The window, a sample of 10,000 rows and what a network makes of it.
    assert peaks[1] < MEMORY + 2**26 + ALLOWED
