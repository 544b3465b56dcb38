"""Random augmentation of training batches on the device, drawn independently per example.

Mixing, equalisation and noise act on mel power, where sounds add; shift, zoom and masks act on the picture; mixup acts
on whatever the network reads.
"""

from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from annotated_types import Gt, Le, Unit
from torch import Generator, Tensor

from genre.ranges import NonNegative, Share, WholeNumber, checked_dataclass

EQUALIZER_KNOTS = 6
NOISE_RANGE_DB = 30.0


@checked_dataclass
class Augment:
    """Strength of each augmentation; 0 turns it off.

    Args:
        shift: largest shift in time, as a fraction of the picture's width; the border is repeated.
        zoom: largest zoom in or out, drawn per axis, as a fraction.
        equalize: standard deviation of a random smooth gain over the mel bands, in dB.
        noise: loudest noise, in dB relative to the clip's maximum (negative); the level is drawn from the 30 dB below.
        time_masks: number of silenced intervals per picture (SpecAugment, Park et al. 2019).
        time_mask: longest interval, as a fraction of the width.
        frequency_masks: number of silenced bands per picture.
        frequency_mask: widest band, as a fraction of the height.
        mix: probability that an example is mixed with another of its batch that has other genres.
        mix_ratio: least share of the weaker of the two, in power.
        mixup: alpha of the Beta distribution from which the share of each example is drawn that is interpolated with
            another of its batch, inputs and targets alike (Zhang et al. 2018).
    """

    shift: Share = 0.0
    zoom: Share = 0.0
    equalize: Annotated[NonNegative, Unit("dB")] = 0.0
    noise: Annotated[float, Le(0), Unit("dB below the clip's maximum")] = 0.0
    time_masks: WholeNumber = 0
    time_mask: Share = 0.0
    frequency_masks: WholeNumber = 0
    frequency_mask: Share = 0.0
    mix: Share = 0.0
    mix_ratio: Annotated[float, Gt(0), Le(0.5)] = 0.3
    mixup: NonNegative = 0.0

    @property
    def acts_on_power(self) -> bool:
        """True if this augmentation needs log-mels rather than pictures."""
        return bool(self.equalize or self.noise or self.mix)

    @property
    def acts(self) -> bool:
        """True if any augmentation is on."""
        return self.acts_on_power or bool(self.shift or self.zoom or self.time_masks or self.frequency_masks)

    def power(self, power: Tensor, generator: Generator) -> Tensor:
        """Equalise and add noise: (batch, n_mels, columns) mel power with a maximum near 1 -> the same shape."""
        if self.equalize:
            power = power * equalizer_gains(power, self.equalize, generator)
        if self.noise:
            below = NOISE_RANGE_DB * uniform_like(power, (len(power), 1, 1), generator)
            level = 10 ** ((self.noise - below) / 10)
            power = power + level * exponential_like(power, generator) * power.amax((-2, -1), keepdim=True)
        return power

    def picture(self, picture: Tensor, generator: Generator) -> Tensor:
        """Shift, zoom and mask: (batch, 1, height, width) in [0, 1] -> the same shape."""
        if self.shift or self.zoom:
            picture = self.shift_and_zoom(picture, generator)
        for _ in range(self.time_masks):
            picture = mask_interval(picture, -1, self.time_mask, generator)
        for _ in range(self.frequency_masks):
            picture = mask_interval(picture, -2, self.frequency_mask, generator)
        return picture

    def shift_and_zoom(self, picture: Tensor, generator: Generator) -> Tensor:
        """Shift in time and zoom both axes, repeating the border, the default of Keras' ImageDataGenerator."""
        draws = uniform_like(picture, (len(picture), 3), generator) * 2 - 1
        affine = picture.new_zeros(len(picture), 2, 3)
        affine[:, 0, 0] = 1 + self.zoom * draws[:, 0]
        affine[:, 1, 1] = 1 + self.zoom * draws[:, 1]
        affine[:, 0, 2] = 2 * self.shift * draws[:, 2]
        grid = F.affine_grid(affine, list(picture.shape), align_corners=False)
        return F.grid_sample(picture, grid, padding_mode="border", align_corners=False)

    def interpolate(self, inputs: Tensor, targets: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Mixup: inputs (batch, ...) and targets (batch, genres) -> the same shapes, each mixed with a random other."""
        if not self.mixup:
            return inputs, targets
        partner, share = self.mixup_pairs(len(inputs), seed)
        partner, share = partner.to(inputs.device), share.to(inputs)
        of_inputs = share.view(-1, *[1] * (inputs.ndim - 1))
        return torch.lerp(inputs[partner], inputs, of_inputs), torch.lerp(targets[partner], targets, share[:, None])

    def mixup_pairs(self, count: int, seed: int) -> tuple[Tensor, Tensor]:
        """Mixup's draws for a batch: index of each example's partner, and the example's own share, (count,) float64."""
        random = np.random.default_rng(seed)
        partner = random.permutation(count)
        return torch.from_numpy(partner), torch.from_numpy(random.beta(self.mixup, self.mixup, count))

    def partners(self, targets: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Draw a partner with other genres for each example, and the example's share of the mixture.

        Args:
            targets: (batch, genres).

        Returns:
            Index of the partner (batch,) and share of the example in power (batch,); 1 if the example is not mixed.
        """
        chance, share = uniform_like(targets, (2, len(targets)), generator)
        scores = uniform_like(targets, (len(targets), len(targets)), generator)
        other = (targets[:, None] != targets[None]).any(-1)
        partner = scores.where(other, -1.0).argmax(dim=1)
        mixed = (chance < self.mix) & other.any(dim=1)
        return partner, (self.mix_ratio + (1 - 2 * self.mix_ratio) * share).where(mixed, 1.0)


def uniform_like(like: Tensor, shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Uniform draws in [0, 1) on the device of a tensor."""
    return torch.rand(shape, device=like.device, generator=generator)


def exponential_like(like: Tensor, generator: Generator) -> Tensor:
    """Exponential draws with mean 1 (the power of white noise in a bin), in the shape of a tensor."""
    return -torch.log1p(-uniform_like(like, tuple(like.shape), generator))


def equalizer_gains(power: Tensor, deviation: float, generator: Generator) -> Tensor:
    """A smooth random equaliser per example: mel power (batch, n_mels, columns) -> factors (batch, n_mels, 1)."""
    knots = torch.randn((len(power), 1, EQUALIZER_KNOTS), device=power.device, generator=generator) * deviation
    curve = F.interpolate(knots, power.shape[1], mode="linear", align_corners=True)
    return 10 ** (curve.transpose(1, 2) / 10)


def mask_interval(picture: Tensor, axis: int, widest: float, generator: Generator) -> Tensor:
    """Silence one random interval of an axis in each picture, (batch, 1, height, width)."""
    size = picture.shape[axis]
    draws = uniform_like(picture, (2, len(picture), 1, 1, 1), generator)
    width = draws[0] * widest * size
    first = draws[1] * (size - width)
    index = torch.arange(size, device=picture.device).view((-1, 1) if axis == -2 else (1, -1))
    return picture.masked_fill((index >= first) & (index < first + width), 0)
