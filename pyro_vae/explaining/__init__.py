"""The derivation of the ELBO shown: as text, as formulas, as a page.

``inference`` finds the lines and their numbers (``inference.derive``); here they are written out.
"""

from pyro_vae.on_demand import without_trace

with without_trace():
    from pyro_vae.explaining.explanation import Explanation, explain
    from pyro_vae.explaining.known import derivation_of, in_double, known_of, one_datum
    from pyro_vae.explaining.mathml import mathml
    from pyro_vae.explaining.written import numbers, terms, verdict, written_out

__all__ = [
    "Explanation",
    "derivation_of",
    "explain",
    "in_double",
    "known_of",
    "mathml",
    "numbers",
    "one_datum",
    "terms",
    "verdict",
    "written_out",
]
