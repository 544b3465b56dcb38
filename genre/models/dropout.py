"""Dropout for large feature maps on a CPU, where drawing random numbers dominates the cost."""

import torch
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """``torch.nn.Dropout`` with 16-bit random numbers: the probability is rounded to a multiple of 1/65536.

    On a CPU PyTorch draws 64 bits per value, one value after the other, which took a quarter of an epoch of the paper's
    network. Here four values share 64 bits. On other devices this is PyTorch's own dropout.
    """

    def forward(self, values: Tensor) -> Tensor:
        """(any shape) -> same shape; in training a value is 0 with probability p, else divided by 1 - p."""
        if not self.training or self.p in (0, 1) or values.device.type != "cpu":
            return super().forward(values)
        bits = torch.empty(-(-values.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
        kept = bits[: values.numel()] >= round(self.p * 2**16) - 2**15
        layout = torch.empty_like(values, device="meta")  # dense, also where the input has gaps
        factors = kept.to(values.dtype).mul_(1 / (1 - self.p)).as_strided(layout.shape, layout.stride())
        return values * factors
