"""One story for every library: x | z ~ N(W z + m, I), of which log p(x) is known."""

import numpy as np
import torch

from tests.oracles import LinearGaussian

ORACLE = LinearGaussian()
#: In units of the noise: pythae's normal likelihood has a variance of one, and no other.
W, M = ORACLE.W / ORACLE.s, ORACLE.m / ORACLE.s
A, T = ORACLE.A * ORACLE.s, ORACLE.t
#: The totals are above zero: scvi-tools takes their logarithm.
M = M + 5.0
X = ORACLE.draw(20, seed=3) / ORACLE.s + 5.0


def tensor(array):
    return torch.tensor(array, dtype=torch.float64)


def log_px():
    """Log N(x; m, W W' + I), ``(20,)``."""
    covariance = W @ W.T + np.eye(len(M))
    return torch.distributions.MultivariateNormal(tensor(M), tensor(covariance)).log_prob(X)


def log_weights(pair, x, z):
    """Log p(x, z) - log q(z | x) of a pair's own programs, at z ``(K, B, L)``: ``(K, B)``."""
    x = x if isinstance(x, dict) else {"x": x}
    beside = {name: part for name, part in x.items() if name != "x"}
    form = pair.form
    with torch.no_grad():
        joint = form.prior().log_prob(z) + form.likelihood(z, beside).log_prob(x["x"])
        return (joint - form.posterior(x["x"], beside).log_prob(z)).double()


def log_mean_exp(weights):
    return weights.logsumexp(0) - np.log(len(weights))


def linear(matrix, bias):
    """A layer x -> matrix x + bias, in float64."""
    layer = torch.nn.Linear(matrix.shape[1], matrix.shape[0]).double()
    layer.weight.data, layer.bias.data = tensor(matrix), tensor(bias)
    return layer
