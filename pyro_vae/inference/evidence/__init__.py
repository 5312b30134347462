"""Estimates of log p(x), one method a file, one form of result."""

from pyro_vae.inference.evidence.ais import ais, bdmc
from pyro_vae.inference.evidence.importance import log_evidence
from pyro_vae.inference.evidence.quadrature import quadrature
from pyro_vae.inference.evidence.result import evidence_result

__all__ = ["ais", "bdmc", "evidence_result", "log_evidence", "quadrature"]
