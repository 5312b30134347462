"""Codebook: vectors of which the nearest stands for an encoder's output.

van den Oord, Vinyals & Kavukcuoglu (2017), arXiv 1711.00937; the moving averages are those of
its appendix A.1. Codes that are out of use start again at encoder outputs, as in Dhariwal et al.
(2020), arXiv 2005.00341.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
from torch import nn

from pyro_vae.errors import DataError, UnknownNameError
from pyro_vae.on_demand import library
from pyro_vae.settings import require_positive_integer

if TYPE_CHECKING:
    from torch import Tensor

    from pyro_vae.protocols import WholeBatch

__all__ = ["UPDATES", "Codebook"]

#: How the codes learn: moving averages of what they stand for, or gradient steps.
UPDATES = ("ema", "gradient")

#: Vectors of the data among which k-means++ looks for the first codes.
_START_VECTORS = 20_000


@final
class Codebook(nn.Module):
    """K codes of length d, and how often each is in use.

    Parameters
    ----------
    num_codes
        Number K of codes.
    code_dim
        Length d of a code.
    updates
        ``"ema"``: a code is the moving average of the vectors that it stands for, and no
        parameter. ``"gradient"``: the codes are parameters.
    decay
        Share of a moving average that a batch leaves in place, in [0, 1).
    revive_below
        A code whose average use falls below this share of the mean use, 1 / K, and that the
        batch does not use, moves to a vector of the batch; 0 for never.
    seed
        Seed of the first codes.

    Raises
    ------
    UnknownNameError
        If ``updates`` is neither of the two.
    ValueError
        If a size is not a positive integer, or a share is out of range.
    """

    codes: Tensor
    use: Tensor
    sums: Tensor

    def __init__(
        self,
        num_codes: int,
        code_dim: int,
        *,
        updates: str = "ema",
        decay: float = 0.99,
        revive_below: float = 0.05,
        seed: int = 0,
    ) -> None:
        super().__init__()
        require_positive_integer("num_codes", num_codes, "such as 64")
        require_positive_integer("code_dim", code_dim, "such as 8")
        if updates not in UPDATES:
            raise UnknownNameError("updates", updates, UPDATES)
        for name, share in (("decay", decay), ("revive_below", revive_below)):
            if not 0 <= share < 1:
                raise ValueError(f"{name} got {share!r}: it must be at least 0 and below 1")
        self.updates = updates
        self.decay = decay
        self.revive_below = revive_below
        self._batch: WholeBatch | None = None
        codes = torch.randn(num_codes, code_dim, generator=torch.Generator().manual_seed(seed))
        # Per vector, not per batch: a last batch that is smaller counts no less.
        self.register_buffer("use", torch.full((num_codes,), 1 / num_codes))
        if updates == "ema":
            self.register_buffer("codes", codes)
            self.register_buffer("sums", codes / num_codes)
        else:
            self.codes = nn.Parameter(codes)

    @property
    def num_codes(self) -> int:
        """Number K of codes."""
        return self.codes.shape[0]

    @property
    def code_dim(self) -> int:
        """Length d of a code."""
        return self.codes.shape[1]

    def assign(self, h: Tensor) -> Tensor:
        """Index of the code nearest to each vector.

        Parameters
        ----------
        h
            Vectors ``(..., d)``.

        Returns
        -------
        Tensor
            Shape ``(...)``, int64.
        """
        with torch.no_grad(), torch.autocast(h.device.type, enabled=False):
            # |h - e|^2 = |h|^2 - 2 (h e - |e|^2 / 2), about a centre: fewer digits cancel.
            centre = self.codes.mean(0)
            codes = self.codes - centre
            nearness = (h.to(codes) - centre) @ codes.T - codes.square().sum(-1) / 2
            return nearness.argmax(-1)

    def forward(self, z: Tensor) -> Tensor:
        """Codes ``(..., d)`` of the indices ``(...)``."""
        return self.codes[z]

    @torch.no_grad()
    def start(self, h: Tensor, *, seed: int = 0) -> None:
        """Put the codes at vectors far apart, by k-means++ (Arthur & Vassilvitskii, 2007).

        Parameters
        ----------
        h
            Vectors ``(n, d)``, at least K.
        seed
            Seed of the draws.

        Raises
        ------
        DataError
            If there are fewer vectors than codes.
        """
        if len(h) < self.num_codes:
            raise DataError(
                f"x gives {len(h)} vectors to be coded: {self.num_codes} codes need at least one "
                "each; take fewer with num_codes"
            )
        generator = torch.Generator().manual_seed(seed)
        some = torch.randperm(len(h), generator=generator)[: max(_START_VECTORS, self.num_codes)]
        vectors = h[some.to(h.device)].double().cpu().numpy()
        starts = library("sklearn.cluster").kmeans_plusplus
        found, _ = starts(vectors, self.num_codes, random_state=seed)
        everywhere = torch.ones_like(self.use, dtype=torch.bool)
        self._place(everywhere, torch.as_tensor(found).to(self.codes))

    @torch.no_grad()
    def update(self, h: Tensor, z: Tensor) -> None:
        """Take a batch into the moving averages, and bring codes out of use back.

        With n_k the share of the vectors that code k stands for and s_k their sum over the
        number of all, use_k <- g use_k + (1 - g) n_k, sums_k <- g sums_k + (1 - g) s_k, and by
        ``"ema"`` e_k = sums_k / use_k.

        Parameters
        ----------
        h
            Vectors ``(..., d)``.
        z
            Their codes, ``(...)``.
        """
        h, z = h.reshape(-1, self.code_dim).to(self.codes), z.reshape(-1)
        if self._batch is not None:
            h, z = self._batch.rows(h), self._batch.rows(z)
        # A product, not a scatter: the same to the bit on every device.
        members = (z.unsqueeze(-1) == torch.arange(self.num_codes, device=z.device)).to(h)
        count = members.sum(0)
        used = count > 0
        self.use.lerp_(count / len(h), 1 - self.decay)
        if self.updates == "ema":
            with torch.autocast(h.device.type, enabled=False):
                self.sums.lerp_(members.T @ h / len(h), 1 - self.decay)
            # Both averages of the others fell by the same factor: their codes stay.
            mean = self.sums / self.use.unsqueeze(-1)
            self.codes.copy_(torch.where(used.unsqueeze(-1), mean, self.codes))
        if self.revive_below:
            self._revive(~used & (self.use < self.revive_below / self.num_codes), h)

    def share_batch(self, batch: WholeBatch | None) -> None:
        """Take into the averages what all processes have of a batch."""
        self._batch = batch

    def extra_repr(self) -> str:
        """Sizes and how the codes learn."""
        return f"num_codes={self.num_codes}, code_dim={self.code_dim}, updates={self.updates!r}"

    def _revive(self, dead: Tensor, h: Tensor) -> None:
        """Move codes to vectors of the batch, each to another; those for which there is none stay.

        Draws are made and compared whether a code is dead or not, so that a graph repeats it.
        """
        few = min(self.num_codes, len(h))
        # By its argument, not its shape: processes that share a batch must all draw the same.
        rows = torch.randperm(len(h), device=h.device)[:few]
        number = dead.cumsum(0) - 1
        self._place(dead & (number < few), h[rows[number.clamp(0, few - 1)]])

    def _place(self, moved: Tensor, codes: Tensor) -> None:
        """Put codes ``(K, d)`` where ``moved``, ``(K,)``, is true, with the mean use."""
        at = moved.unsqueeze(-1)
        # Through `data`: a parameter may be in the graph of a step that is under way.
        self.codes.data.copy_(torch.where(at, codes, self.codes.data))
        self.use.copy_(torch.where(moved, 1 / self.num_codes, self.use))
        if self.updates == "ema":
            self.sums.copy_(torch.where(at, codes / self.num_codes, self.sums))
