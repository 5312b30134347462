"""Models whose log p(x), posterior and ELBO are known in closed form, in NumPy and SciPy."""

from __future__ import annotations

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from scipy import stats


class LinearGaussian:
    """z ~ N(0, I_L), x | z ~ N(W z + m, s^2 I_D); guide N(A (x - m), diag(t^2)).

    log p(x) = log N(x; m, W W^T + s^2 I), and every KL is one between Gaussians.
    """

    def __init__(self, latent_dim=2, features=5, seed=0):
        rng = np.random.default_rng(seed)
        self.W = np.linalg.qr(rng.normal(size=(features, latent_dim)))[0]
        self.W[:, 0] += 0.3 * self.W[:, -1]
        self.m = rng.normal(size=features)
        self.s = 0.7
        precision = np.eye(latent_dim) + self.W.T @ self.W / self.s**2
        self.posterior_cov = np.linalg.inv(precision)
        self.A = self.posterior_cov @ self.W.T / self.s**2
        # A mean-field normal guide with the right means, wider by a fifth than the best one,
        # so that the weights have the finite variance that standard errors stand on.
        self.t = 1.2 * np.sqrt(1 / np.diag(precision))

    def draw(self, count, seed=1):
        rng = np.random.default_rng(seed)
        z = rng.normal(size=(count, self.W.shape[1]))
        noise = self.s * rng.normal(size=(count, len(self.m)))
        return torch.tensor(z @ self.W.T + self.m + noise)

    def model(self, x):
        W, m = torch.tensor(self.W), torch.tensor(self.m)
        with pyro.plate("data", len(x), dim=-1):
            prior = dist.Normal(torch.zeros(W.shape[1], dtype=W.dtype), 1.0).to_event(1)
            z = pyro.sample("z", prior)
            pyro.sample("x", dist.Normal(z @ W.T + m, self.s).to_event(1), obs=x)

    def guide(self, x):
        A, m, t = torch.tensor(self.A), torch.tensor(self.m), torch.tensor(self.t)
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal((x - m) @ A.T, t).to_event(1))

    def exact_guide(self, x):
        A, m = torch.tensor(self.A), torch.tensor(self.m)
        scale_tril = torch.linalg.cholesky(torch.tensor(self.posterior_cov))
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.MultivariateNormal((x - m) @ A.T, scale_tril=scale_tril))

    def log_px(self, x):
        cov = self.W @ self.W.T + self.s**2 * np.eye(len(self.m))
        return stats.multivariate_normal(self.m, cov).logpdf(x.numpy())

    def gap(self):
        """KL(N(mu, diag t^2) || N(mu, S)) = (tr(S^-1 T) - L + log |S| - log |T|) / 2."""
        S, T = self.posterior_cov, np.diag(self.t**2)
        inside = np.trace(np.linalg.solve(S, T)) - len(T)
        return 0.5 * (inside + np.linalg.slogdet(S)[1] - np.linalg.slogdet(T)[1])

    def reconstruction(self, x):
        """E_q[log p(x | z)], in closed form."""
        mean = (x.numpy() - self.m) @ self.A.T
        residual = x.numpy() - self.m - mean @ self.W.T
        spread = np.trace(self.W @ np.diag(self.t**2) @ self.W.T)
        log_norm = -0.5 * len(self.m) * np.log(2 * np.pi * self.s**2)
        return log_norm - 0.5 * ((residual**2).sum(1) + spread) / self.s**2

    def kl_to_prior(self, x):
        """KL(q(z | x) || N(0, I)), in closed form."""
        mean = (x.numpy() - self.m) @ self.A.T
        t2 = self.t**2
        return 0.5 * ((mean**2).sum(1) + (t2 - 1 - np.log(t2)).sum())
