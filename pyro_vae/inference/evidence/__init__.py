"""log p(x), and what is made of it: bounds, the gap, comparisons, plans.

Estimators, one method a file and one form of result (``result``): ``importance``, ``ais``,
``quadrature``. What reduces, judges and compares their numbers is here too: ``reductions``,
``evaluate``, ``trust``, ``certify``, ``gap``, ``compare``, ``score``, ``conditional``, ``impute``,
``pooling``, ``planner``.
"""

from typing import TYPE_CHECKING

from pyro_vae.on_demand import names_on_demand

if TYPE_CHECKING:
    from pyro_vae.inference.evidence.ais import ais as ais
    from pyro_vae.inference.evidence.ais import bdmc as bdmc
    from pyro_vae.inference.evidence.certify import Certificate as Certificate
    from pyro_vae.inference.evidence.certify import certify as certify
    from pyro_vae.inference.evidence.compare import Comparison as Comparison
    from pyro_vae.inference.evidence.compare import compare as compare
    from pyro_vae.inference.evidence.compare import compare_results as compare_results
    from pyro_vae.inference.evidence.compare import describe_data as describe_data
    from pyro_vae.inference.evidence.conditional import conditional as conditional
    from pyro_vae.inference.evidence.evaluate import elbo as elbo
    from pyro_vae.inference.evidence.evaluate import evaluate as evaluate
    from pyro_vae.inference.evidence.evaluate import iwae_bound as iwae_bound
    from pyro_vae.inference.evidence.evaluate import summary as summary
    from pyro_vae.inference.evidence.gap import gap as gap
    from pyro_vae.inference.evidence.gap import gap_parts as gap_parts
    from pyro_vae.inference.evidence.importance import log_evidence as log_evidence
    from pyro_vae.inference.evidence.impute import impute as impute
    from pyro_vae.inference.evidence.ladder import ladder as ladder
    from pyro_vae.inference.evidence.planner import ParticlePlan as ParticlePlan
    from pyro_vae.inference.evidence.planner import interval as interval
    from pyro_vae.inference.evidence.planner import plan_particles as plan_particles
    from pyro_vae.inference.evidence.planner import reach as reach
    from pyro_vae.inference.evidence.pooling import pool as pool
    from pyro_vae.inference.evidence.quadrature import quadrature as quadrature
    from pyro_vae.inference.evidence.score import score as score

#: Where the public names are.
_NAMES = {
    "Certificate": "pyro_vae.inference.evidence.certify",
    "Comparison": "pyro_vae.inference.evidence.compare",
    "ParticlePlan": "pyro_vae.inference.evidence.planner",
    "ais": "pyro_vae.inference.evidence.ais",
    "bdmc": "pyro_vae.inference.evidence.ais",
    "certify": "pyro_vae.inference.evidence.certify",
    "compare": "pyro_vae.inference.evidence.compare",
    "compare_results": "pyro_vae.inference.evidence.compare",
    "conditional": "pyro_vae.inference.evidence.conditional",
    "describe_data": "pyro_vae.inference.evidence.compare",
    "elbo": "pyro_vae.inference.evidence.evaluate",
    "evaluate": "pyro_vae.inference.evidence.evaluate",
    "gap": "pyro_vae.inference.evidence.gap",
    "gap_parts": "pyro_vae.inference.evidence.gap",
    "impute": "pyro_vae.inference.evidence.impute",
    "interval": "pyro_vae.inference.evidence.planner",
    "iwae_bound": "pyro_vae.inference.evidence.evaluate",
    "ladder": "pyro_vae.inference.evidence.ladder",
    "log_evidence": "pyro_vae.inference.evidence.importance",
    "plan_particles": "pyro_vae.inference.evidence.planner",
    "pool": "pyro_vae.inference.evidence.pooling",
    "quadrature": "pyro_vae.inference.evidence.quadrature",
    "reach": "pyro_vae.inference.evidence.planner",
    "score": "pyro_vae.inference.evidence.score",
    "summary": "pyro_vae.inference.evidence.evaluate",
}

__all__ = names_on_demand(__name__, _NAMES)
