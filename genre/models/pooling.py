"""Max-pooling, ReLU and dropout of a convolution's stage, in one step that suits a CPU."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from genre.models.dropout import Dropout, dropout_factors


class PoolReLUDropout(nn.Module):
    """Max-pooling of 2 x 2, ReLU and dropout.

    On a CPU PyTorch's pooling writes 64 bits per maximum that say where it was, and ReLU and dropout each keep a mask.
    Here maxima are found anew for the gradient, and the zeros of the output are the mask. Of equal maxima one has the
    gradient.

    Args:
        dropout: probability; on a CPU rounded to a multiple of 1/65536.
    """

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, channels, height // 2, width // 2)."""
        p = self.dropout.p
        if self.training and torch.is_grad_enabled() and maps.device.type == "cpu" and p < 1:
            pooled: Tensor = PoolReLUDropoutFunction.apply(maps, p)
            return pooled
        dropped: Tensor = self.dropout(F.max_pool2d(maps, 2).relu_())
        return dropped


class PoolReLUDropoutFunction(torch.autograd.Function):
    """The step with its gradient, in operations that run at the speed of memory where channels are last.

    Floats are compared as the whole numbers that have their bits, which takes less time in bfloat16: among positive
    floats the order is the same, and negative ones, NaN with a sign among them, are below and become 0 anyway.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor, p: float) -> Tensor:
        """(batch, channels, height, width) -> (batch, channels, height // 2, width // 2)."""
        rows = torch.maximum(*pairs(bits_of(maps), 2))
        out = torch.maximum(*pairs(rows, 3)).clamp_min_(0).view(maps.dtype)
        if p > 0:
            out.mul_(dropout_factors(out, p))
        ctx.save_for_backward(maps, rows, out)
        ctx.scale = 1 / (1 - p)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Gradient of the output -> gradient of the maps."""
        maps, rows, out = ctx.saved_tensors
        of_maxima = bits_of(torch.ops.aten.threshold_backward(gradient, out, 0).mul_(ctx.scale))
        of_maps = send_to_maxima(send_to_maxima(of_maxima, rows, 3), bits_of(maps), 2)
        return of_maps.view(maps.dtype), None


def bits_of(values: Tensor) -> Tensor:
    """The same memory as whole numbers: (any shape) of float16, bfloat16, float32 or float64 -> same shape."""
    return values.view({2: torch.int16, 4: torch.int32, 8: torch.int64}[values.element_size()])


def pairs(maps: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The values at even and at odd places of a dimension; the last one of an odd number belongs to no pair."""
    first, second = maps.narrow(dim, 0, maps.shape[dim] // 2 * 2).unflatten(dim, (-1, 2)).unbind(dim + 1)
    return first, second


def send_to_maxima(gradient: Tensor, maps: Tensor, dim: int) -> Tensor:
    """Gradient of the maxima of pairs -> gradient of the maps: the larger value of a pair has it, or the first.

    Both are given as bits. A product with 0 or 1 and a difference take less time than ``torch.where``.
    """
    out = torch.empty_like(maps)
    if maps.shape[dim] % 2:
        out.narrow(dim, -1, 1).zero_()
    (first, second), (to_first, to_second) = pairs(maps, dim), pairs(out, dim)
    torch.gt(second, first, out=to_second).mul_(gradient)
    torch.sub(gradient, to_second, out=to_first)
    return out
