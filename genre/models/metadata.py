"""A second branch beside the music: logits from columns of the catalogue, for any network."""

from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genre.data.metadata import Bags

GAIN = 5.0  # logits per unit of weight: the optimiser, set for the music, moves a weight by a thousandth per step


class MetadataBranch(nn.Module):
    """Logits from a track's metadata, which are added to those of the music.

    Each known token has a weight per genre, at first 0: untrained, and of tokens that are not known, nothing is added.
    The weights have a prior, a normal distribution around 0 with a deviation of one logit: a token needs several tracks
    of a genre to outweigh the music.

    Args:
        known: (tokens,) the tokens that have weights, sorted.
        genres: number of logits.
        tracks: number of training tracks, which the prior is weighed against; of no concern to predictions.
    """

    known: Tensor

    def __init__(self, known: Tensor, genres: int, tracks: int = 1) -> None:
        super().__init__()
        self.tracks = tracks
        self.register_buffer("known", torch.cat([known.new_zeros(1), known]))  # 0: padding, and unknown tokens
        self.weight = nn.Parameter(torch.zeros(1 + len(known), genres))

    @classmethod
    def from_weights(cls, weights: dict[str, Tensor]) -> Self:
        """The branch with these weights, by their names.

        Raises:
            KeyError, RuntimeError: if they are not those of such a branch.
        """
        branch = cls(weights["known"][1:], weights["weight"].shape[-1])
        branch.load_state_dict(weights)
        return branch

    def forward(self, bags: Bags) -> Tensor:
        """Bags of a batch -> logits (batch, genres)."""
        place = torch.searchsorted(self.known, bags.tokens).clamp_max(len(self.known) - 1)
        rows = place.where(self.known[place] == bags.tokens, 0)
        weights = bags.weights.to(self.weight.dtype)
        return GAIN * F.embedding_bag(rows, self.weight, mode="sum", per_sample_weights=weights, padding_idx=0)

    def penalty(self) -> Tensor:
        """The prior's part of the loss per track."""
        return (GAIN * self.weight).square().sum() / (2 * self.tracks)
