"""Why a loss is not finite: the error that names the step, the site and what may help."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from pyro import poutine

from pyro_vae.errors import NonFiniteLossError
from pyro_vae.inference.engine.inputs import Inputs, run_program

if TYPE_CHECKING:
    from torch import nn

__all__ = ["first_bad_site", "non_finite"]


def non_finite(
    program: nn.Module, x: Inputs, epoch: int, step: int, value: float
) -> NonFiniteLossError:
    """The error of a loss that is NaN or infinite, for data x, in an epoch and a step from 0."""
    return NonFiniteLossError(
        f"the loss is {value} at step {step} (epoch {epoch + 1}); the first site with non-finite "
        f"numbers is {first_bad_site(program, x)}. Try a smaller learning_rate, clip_norm=10, "
        "or a larger min_scale; the model keeps its weights of the last whole epoch."
    )


def first_bad_site(program: Any, x: Inputs) -> str:
    """Guide sites first, then the model's, in the order in which they are drawn."""
    with torch.no_grad():
        try:
            guide_trace = poutine.trace(partial(run_program, program.guide)).get_trace(x)
            model = partial(run_program, poutine.replay(program.model, trace=guide_trace))
            traces = {"guide": guide_trace, "model": poutine.trace(model).get_trace(x)}
        except ValueError as error:
            return f"one whose distribution refuses its parameters ({error})"
        for kind, trace in traces.items():
            for name, site in trace.nodes.items():
                if site["type"] != "sample" or not hasattr(site["fn"], "log_prob"):
                    continue
                log_prob = site["fn"].log_prob(site["value"])
                for part, numbers in (("value", site["value"]), ("log-probability", log_prob)):
                    if not bool(torch.isfinite(numbers).all()):
                        return f"{name!r} in the {kind} (its {part})"
    return "not reproduced by another draw"
