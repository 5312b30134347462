"""Data that do not fit into memory: their files by blocks of rows, and three splits of these.

One file a form (``npy.py``, ``parquet.py``, ``zarr_arrays.py``, ``batches.py``); which row goes
where (``selection.py``); what one pass finds out (``census.py``); what is made of it
(``dataset.py``), and ``data.stream`` (``reader.py``).
"""
