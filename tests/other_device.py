"""A second device with values, where there is no GPU: tensors that refuse to mix with the CPU's.

They lie in the CPU's memory and draw from its generator, so that every number must be the same
to the bit; but they say that they are on ``cpu:1``, and an operation on them and on a tensor of
the CPU fails, as it does on a GPU.
"""

from contextlib import contextmanager

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

HERE = torch.device("cpu", 1)

#: What may have tensors of the CPU beside others, as on GPUs: indices, and copies.
_MIXES = ("aten.index.", "aten.index_put", "aten._index_put", "aten.copy_", "aten._to_copy")


class There(torch.Tensor):
    """A tensor of the second device."""

    @staticmethod
    def __new__(cls, values):
        return torch.Tensor._make_wrapper_subclass(
            cls,
            values.shape,
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=HERE,
            requires_grad=False,
        )

    def __init__(self, values):
        self.values_here = values

    def __repr__(self):
        return f"There({self.values_here!r})"

    def tolist(self):
        return self.values_here.tolist()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


class _SecondDevice(TorchDispatchMode):
    """Makes tensors there where it is asked for."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


class _OfNumbers(TorchFunctionMode):
    """Makes a tensor of numbers there where it is asked for, which no operation does."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor, torch.Tensor.new_tensor):
            device = kwargs.pop("device", None)
            like = func is torch.Tensor.new_tensor and isinstance(args[0], There)
            if like:
                args = (args[0].values_here, *args[1:])
            made = func(*args, **kwargs)
            if isinstance(made, There) or not (like or device == HERE):
                return made
            return There(made)
        return func(*args, **kwargs)


def _run(func, args, kwargs):
    device = kwargs.get("device")
    device = None if device is None else torch.device(device)
    tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.Tensor)]
    there = [x for x in tensors if isinstance(x, There)]
    strangers = [x for x in tensors if not isinstance(x, There) and x.dim() > 0]
    if there and strangers and not str(func).startswith(_MIXES):
        raise RuntimeError(f"{func} got tensors of two devices")
    to_there = device == HERE if device is not None else bool(there)
    if str(func).startswith("aten.copy_"):
        to_there = isinstance(args[0], There)
    if device is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    args, kwargs = tree_map(_taken, args), tree_map(_taken, kwargs)
    found = func(*args, **kwargs)
    return tree_map(_put, found) if to_there else found


def _taken(x):
    return x.values_here if isinstance(x, There) else x


def _put(x):
    return There(x) if isinstance(x, torch.Tensor) else x


@contextmanager
def second_device():
    """Inside, there is such a device; ``moved`` brings a model or tensors to it."""
    replaces = torch.__future__.get_overwrite_module_params_on_conversion()
    # What a parameter wraps does not change with its ``data``.
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with _OfNumbers(), _SecondDevice():
            yield
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(replaces)


def moved(what):
    """Tensors, or a module whose parameters and buffers, on the second device."""
    if not isinstance(what, nn.Module):
        return tree_map(_put, what)
    for module in what.modules():
        for name, parameter in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(There(parameter.data), parameter.requires_grad))
        for name, buffer in module.named_buffers(recurse=False):
            module._buffers[name] = There(buffer)
    return what
