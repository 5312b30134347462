"""A Bernoulli VAE on binarised digits, and how far its ELBO is from log p(x)."""

from pyro_vae import VAE, data, evaluate, fit, summary


def main() -> None:
    digits = data.load("digits", binarisation="stochastic", seed=0)
    vae = VAE(digits.event_shape, latent_dim=8)
    vae.describe()
    fit(vae, digits, epochs=60, batch_size=32, schedule="cosine", seed=0)
    results = evaluate(vae, digits.test, num_particles=2000)
    print(summary(results).round(3))
    print(results["gap"].to_series().describe().round(3))


if __name__ == "__main__":
    main()
