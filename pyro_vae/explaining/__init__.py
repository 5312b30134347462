"""The derivation of the ELBO shown, as text and as formulas.

``derivation`` finds the lines and their numbers, ``derivation_lines`` says what a line is and
whether it holds, ``em_view`` follows them through training; the rest writes them out.
"""

from pyro_vae.on_demand import without_trace

with without_trace():
    from pyro_vae.explaining.derivation import derive
    from pyro_vae.explaining.derivation_lines import Derivation
    from pyro_vae.explaining.explanation import Explanation, explain
    from pyro_vae.explaining.known import derivation_of, in_double, known_of, one_datum
    from pyro_vae.explaining.mathml import mathml
    from pyro_vae.explaining.written import numbers, terms, verdict, written_out

__all__ = [
    "Derivation",
    "Explanation",
    "derivation_of",
    "derive",
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
