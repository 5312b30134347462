"""A panel each: its template, its script, and, where it needs numbers, its Python module."""
