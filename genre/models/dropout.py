"""Dropout over large maps, where random numbers are what a CPU spends its time on."""

import torch
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """``torch.nn.Dropout`` whose random numbers have 16 bits: its probability is a multiple of 1/65536.

    PyTorch draws 64 bits a value on a CPU, one after the other, which took a quarter of an epoch of the source
    document's network. Here four values share them. On a GPU, where PyTorch's own costs nothing, it is that.
    """

    def forward(self, values: Tensor) -> Tensor:
        """(any shape) -> the same; in training each value is 0 with the probability, else divided by its complement."""
        if not self.training or self.p in (0, 1) or values.device.type != "cpu":
            return super().forward(values)
        bits = torch.empty(-(-values.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
        kept = bits[: values.numel()] >= round(self.p * 2**16) - 2**15
        layout = torch.empty_like(values, device="meta")  # without gaps, whatever is given
        factors = kept.to(values.dtype).mul_(1 / (1 - self.p)).as_strided(layout.shape, layout.stride())
        return values * factors
