"""One SVI step against the same network by hand in plain PyTorch with its closed-form loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pyro.infer import Trace_ELBO
from torch import Tensor, nn

from benchmarks.timing import interleaved
from pyro_vae.models import VAE

__all__ = ["report"]

_TARGET = 1.15
_BATCH = 128


class _ByHand(nn.Module):
    """784-400-20-400-784 with ReLU, as introductions write it."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(784, 400), nn.ReLU(), nn.Linear(400, 40))
        self.decode = nn.Sequential(nn.Linear(20, 400), nn.ReLU(), nn.Linear(400, 784))

    def forward(self, x: Tensor) -> Tensor:
        mean, log_variance = self.encode(x.flatten(1)).chunk(2, dim=-1)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        reconstruction = F.binary_cross_entropy_with_logits(
            self.decode(z), x.flatten(1), reduction="sum"
        )
        # KL(N(m, s^2) || N(0, 1)) = -(1 + log s^2 - m^2 - s^2) / 2
        kl = -0.5 * torch.sum(1 + log_variance - mean.square() - log_variance.exp())
        return (reconstruction + kl) / len(x)


def report() -> bool:
    """Print the ratio of medians; whether the target is met."""
    torch.manual_seed(0)
    x = (torch.rand(_BATCH, 28, 28) < 0.2).float()
    vae, by_hand, elbo = VAE((28, 28), 20, encoder=(400,), decoder=(400,)), _ByHand(), Trace_ELBO()
    ours = torch.optim.Adam(vae.parameters(), lr=1e-3, fused=True)
    theirs = torch.optim.Adam(by_hand.parameters(), lr=1e-3, fused=True)

    def svi_step() -> None:
        loss = elbo.differentiable_loss(vae.model, vae.guide, x) / len(x)
        loss.item()
        loss.backward()
        ours.step()
        ours.zero_grad(set_to_none=True)

    def plain_step() -> None:
        loss = by_hand(x)
        loss.item()
        loss.backward()
        theirs.step()
        theirs.zero_grad(set_to_none=True)

    median = interleaved({"svi": svi_step, "plain": plain_step}, rounds=400)
    ratio = median["svi"] / median["plain"]
    print(
        f"SVI step, 784-400-20, batch {_BATCH}: {1e3 * median['svi']:.2f} ms; plain PyTorch "
        f"{1e3 * median['plain']:.2f} ms; ratio {ratio:.2f} (target at most {_TARGET})"
    )
    return ratio <= _TARGET
