"""Estimators of log p(x), one a file."""

from pyro_vae.inference.evidence.importance import log_evidence

__all__ = ["log_evidence"]
