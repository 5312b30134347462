"""Log-probabilities of one feature in mpmath, from the network's output taken as exact."""

from mpmath import exp as mp_exp
from mpmath import expm1, fabs, log, log1p, loggamma, mpf, pi


def softplus(u):
    return max(u, mpf(0)) + log1p(mp_exp(-fabs(u)))


def bernoulli(x, u):
    return binomial(1)(x, u)


def log_choose(n, x):
    return loggamma(n + 1) - loggamma(x + 1) - loggamma(n - x + 1)


def binomial(n):
    def law(x, u):
        return log_choose(mpf(n), x) - x * softplus(-u) - (n - x) * softplus(u)

    return law


def categorical(x, *logits):
    top = max(logits)
    return logits[int(x)] - top - log(sum(mp_exp(u - top) for u in logits))


def ordinal(classes):
    """Cut-points where they start: of equal shares at eta = 0."""

    def cut(c):
        return log(mpf(c) / (classes - c))

    def law(x, eta):
        if x == 0:
            return -softplus(eta - cut(1))
        if x == classes - 1:
            return -softplus(cut(classes - 1) - eta)
        low, high = cut(x) - eta, cut(x + 1) - eta
        # On the side where the tail is small, so that no digit cancels.
        if low > 0:
            low, high = -high, -low
        if high < -(mpf(10) ** 6):
            return high + log1p(-mp_exp(low - high))
        return log(mp_exp(-softplus(-high)) - mp_exp(-softplus(-low)))

    return law


def poisson(min_mean=1e-6):
    def law(x, raw):
        mu = mpf(min_mean) + softplus(raw)
        return x * log(mu) - mu - loggamma(x + 1)

    return law


def of_mean_and_dispersion(x, mu, theta):
    choose = loggamma(x + theta) - loggamma(theta) - loggamma(x + 1)
    return choose + theta * log(theta / (theta + mu)) + x * log(mu / (theta + mu))


def negative_binomial(dispersion=None):
    def law(x, raw_mean, raw_theta=None):
        theta = mpf(1e-3) + softplus(raw_theta) if dispersion is None else mpf(dispersion)
        return of_mean_and_dispersion(x, mpf(1e-6) + softplus(raw_mean), theta)

    return law


def zero_inflated(x, raw_mean, raw_theta, gate):
    counts = negative_binomial()(x, raw_mean, raw_theta)
    if x > 0:
        return counts - softplus(gate)
    return log(mp_exp(-softplus(-gate)) + mp_exp(counts - softplus(gate)))


def continuous_bernoulli(x, u):
    return -log(expm1(u) / u) + u * x if u != 0 else mpf(0)


def discretised_logistic(top):
    def law(x, loc, raw):
        scale = mpf(1e-4) + softplus(raw)
        low, high = (((x + side) / top - loc) / scale for side in (-0.5, 0.5))
        if x == 0:
            return -softplus(-high)
        if x == top:
            return -softplus(low)
        # On the side where the tail is small, so that no digit cancels.
        if low > 0:
            low, high = -high, -low
        return log(mp_exp(-softplus(-high)) - mp_exp(-softplus(-low)))

    return law


def scale_of(raw):
    return mpf(1e-3) + softplus(raw)


def normal(x, loc, raw):
    s = scale_of(raw)
    return -(((x - loc) / s) ** 2) / 2 - log(s) - log(2 * pi) / 2


def laplace(x, loc, raw):
    s = scale_of(raw)
    return -fabs(x - loc) / s - log(2 * s)


def log_normal(x, loc, raw):
    return normal(log(x), loc, raw) - log(x)


def student_t(df):
    def law(x, loc, raw=None):
        nu, s = mpf(df), mpf(1) if raw is None else scale_of(raw)
        constant = loggamma((nu + 1) / 2) - loggamma(nu / 2) - log(pi * nu) / 2 - log(s)
        return constant - (nu + 1) / 2 * log1p(((x - loc) / s) ** 2 / nu)

    return law


def gamma(shape=None):
    def law(x, raw_mean, raw_shape=None):
        alpha = mpf(1e-2) + softplus(raw_shape) if shape is None else mpf(shape)
        rate = alpha / (mpf(1e-6) + softplus(raw_mean))
        return alpha * log(rate) + (alpha - 1) * log(x) - rate * x - loggamma(alpha)

    return law


def beta(concentration=None):
    def law(x, u, raw=None):
        phi = mpf(1e-2) + softplus(raw) if concentration is None else mpf(concentration)
        a, b = (phi * mp_exp(-softplus(-v)) for v in (u, -u))
        constant = loggamma(phi) - loggamma(a) - loggamma(b)
        return constant + (a - 1) * log(x) + (b - 1) * log1p(-x)

    return law
