"""What is recorded while a test runs."""

from pyro_vae.recording import repeated


def recorded(monkeypatch):
    """Graphs that functions which are called many times are recorded as, in order."""
    graphs, record = [], repeated.record

    def kept(*args, **kwargs):
        graphs.append(record(*args, **kwargs))
        return graphs[-1]

    monkeypatch.setattr(repeated, "record", kept)
    return graphs
