"""Dropout for large feature maps on a CPU, where drawing random numbers dominates the cost."""

import numpy as np
import torch
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """``torch.nn.Dropout`` with 16-bit random numbers: the probability is rounded to a multiple of 1/65536.

    On a CPU PyTorch draws 64 bits per value, one value after the other, which took a quarter of an epoch of the paper's
    network. On other devices this is PyTorch's own dropout.
    """

    def forward(self, values: Tensor) -> Tensor:
        """(any shape) -> same shape; in training a value is 0 with probability p, else divided by 1 - p."""
        if not self.training or self.p in (0, 1) or values.device.type != "cpu":
            return super().forward(values)
        return values * dropout_factors(values, self.p)


def dropout_factors(values: Tensor, p: float) -> Tensor:
    """What dropout multiplies values on a CPU with: 0 with probability p, else 1 / (1 - p).

    Four values share the 64 bits of a draw of SFC64 (Doty-Humphrey 2010; NumPy's, twice as fast as PyTorch's Mersenne
    Twister), whose seed is PyTorch's next random number.

    Args:
        values: (any shape), of which shape, type and order in memory are taken.
        p: between 0 and 1.
    """
    seed = int(torch.empty((), dtype=torch.int64).random_())
    draws = np.random.SFC64(seed).random_raw(-(-values.numel() // 4)).view(np.int16)
    kept = torch.from_numpy(draws)[: values.numel()].ge_(round(p * 2**16) - 2**15)  # 0 and 1, still of 16 bits
    scale = torch.tensor(1 / (1 - p), dtype=values.dtype)
    if values.dtype == torch.bfloat16:  # as bits, since converting takes longer than multiplying
        factors = kept.mul_(int(scale.view(torch.int16))).view(torch.bfloat16)
    else:
        factors = kept.to(values.dtype).mul_(scale)
    layout = torch.empty_like(values, device="meta")  # dense, also where the input has gaps
    return factors.as_strided(layout.shape, layout.stride())
