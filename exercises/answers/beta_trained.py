"""Answer: train with beta, report the bound.

Against collapse the KL is given a weight below one in training,

    E_q[log p(x | z)] - beta KL(q(z | x) || p(z)),    beta = 1/4.

That is no bound on log p(x). What is reported for each datum must be the ELBO, beta = 1, in nats;
only the gradient may be that of the formula above. In PyTorch ``a.detach() + b - b.detach()`` has
the value of a and the gradient of b.

    pyro-vae verify exercises/answers/beta_trained.py:BetaTrained
"""

from pyro_vae.inference.training.objectives import WeightedObjective

BETA = 0.25


class BetaTrained(WeightedObjective):
    """An ELBO whose gradient is that of another weight on the KL."""

    formula = "E_q[log p(x|z)] - KL(q(z|x) || p(z)), trained at beta = 1/4"
    is_bound = True

    def bound(self, terms):
        """What is reported of each datum, ``(B,)``, from terms ``(K, B)``."""
        kl = terms.log_guide - terms.log_prior
        trained = (terms.log_likelihood - BETA * kl).mean(0)
        elbo = (terms.log_likelihood - kl).mean(0)
        return elbo.detach() + trained - trained.detach()
