"""By which features the most similar tracks have the same genre, or artist: python -m benchmarks.neighbours OVERRIDES

    python -m benchmarks.neighbours data=logmel data.path=gtzan_logmel.npz data.catalogue=gtzan_tracks.csv

The overrides choose the tracks, which need artists. Heads are trained as in experiment=small, on other tracks than are
compared: on three folds by artist of five, and the other two are compared; or on half of the genres, and the others are
compared, which stand for music of genres that a model does not know.
"""

import sys
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genre.config.build import build_data, build_network, read_catalogue
from genre.config.compose import compose
from genre.config.settings import TrainSettings, train_settings
from genre.data.datamodule import MusicData
from genre.models.frozen import FrozenBackbone
from genre.prediction.neighbours import most_similar

FOLDS, TRAINED_FOLDS, DRAWS, NEAREST = 5, 3, 10, 5
EPOCHS, BATCH, MIXUP, SMOOTHING = 40, 32, 0.4, 0.1
RECIPE = ("experiment=small", "split=artist", "split.among=fault_filtered", "split.val_share=0", f"split.folds={FOLDS}")

Labels = npt.NDArray[np.object_]


def assigned(overrides: Sequence[str], fold: int) -> tuple[TrainSettings, MusicData]:
    """The settings of a fold, and its data with subsets."""
    settings = train_settings(compose(*RECIPE, *overrides, f"split.fold={fold}", "folder=."))
    data = build_data(settings, read_catalogue(settings.data), settings.split, torch.device("cpu"))
    data.assign_subsets()
    return settings, data


def with_features(settings: TrainSettings, data: MusicData) -> tuple[MusicData, FrozenBackbone]:
    """The same data for evaluation, with cached features; and their network."""
    network = build_network(settings, len(data.genres))
    assert isinstance(network, FrozenBackbone)
    opened = build_data(settings, read_catalogue(settings.data), data.subsets, torch.device("cpu"), network)
    opened.setup()
    return opened, network


def trained_head(network: FrozenBackbone, features: Tensor, targets: Tensor, seed: int) -> nn.Module:
    """A head trained on features (tracks, crops, width) and targets (tracks, genres)."""
    torch.manual_seed(seed)
    random, head = np.random.default_rng(seed), network.make_head().train()
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3, weight_decay=0.01)
    batches = len(features) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=batches * EPOCHS)
    smooth = targets * (1 - SMOOTHING) + SMOOTHING / targets.shape[1]
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(features))[: batches * BATCH].split(BATCH):
            share, partner = float(random.beta(MIXUP, MIXUP)), rows[torch.randperm(BATCH)]
            crop = torch.randint(features.shape[1], (BATCH,))
            mixed = share * features[rows, crop] + (1 - share) * features[partner, crop]
            wanted = share * smooth[rows] + (1 - share) * smooth[partner]
            optimizer.zero_grad()
            F.cross_entropy(head(mixed), wanted).backward()
            optimizer.step()
            schedule.step()
    return head.eval()


@torch.no_grad()
def variants(network: FrozenBackbone, head: nn.Module, features: Tensor) -> dict[str, Tensor]:
    """Name -> (tracks, width): means over the crops of features (tracks, crops, width)."""
    layers = network.head_layers(head)
    normalized = layers.normalization(features.flatten(0, 1))
    hidden = layers.first(normalized).relu()
    flat = {"as they are": features.flatten(0, 1), "normalised": normalized, "the head's hidden layer": hidden}
    return {name: values.unflatten(0, features.shape[:2]).mean(1) for name, values in flat.items()}


def shares(features: Tensor, genres: Labels, artists: Labels) -> tuple[float, float]:
    """Share of the ``NEAREST`` tracks by other artists with the same genre; share of nearest tracks by the same artist.

    The second is over the artists with several tracks.
    """
    places = most_similar(features, features, len(features))[1].numpy()
    same_genre, same_artist = [], []
    for track, order in enumerate(places):
        others = order[order != track]
        foreign = others[artists[others] != artists[track]][:NEAREST]
        same_genre.append((genres[foreign] == genres[track]).mean())
        if (artists[others] == artists[track]).any():
            same_artist.append(artists[others[0]] == artists[track])
    return float(np.mean(same_genre)), float(np.mean(same_artist))


def main(overrides: Sequence[str]) -> None:
    """Print a row per kind of features."""
    folds = [assigned(overrides, fold) for fold in range(FOLDS)]
    data, network = with_features(*folds[0])
    rows = data.rows("all")
    features, targets = data.eval_store.take(rows).float(), data.targets[rows]
    names = data.track_names("all")
    genres = np.array([data.genres[place] for place in targets.argmax(1)], object)
    artists = np.array([folds[0][1].groups[name] for name in names], object)
    tested = [set(other.track_names("test")) for _, other in folds]
    fold_of = np.array([next(fold for fold, tracks in enumerate(tested) if name in tracks) for name in names])
    known = (np.isin(fold_of, chosen) for chosen in combinations(range(FOLDS), TRAINED_FOLDS))
    random = np.random.default_rng(0)
    half = (np.isin(genres, random.choice(data.genres, len(data.genres) // 2, replace=False)) for _ in range(DRAWS))
    print(f"{len(names)} tracks | same genre among {NEAREST} by other artists | same artist first")
    for title, masks in ("genres that the head knows", known), ("other genres", half):
        measured: dict[str, list[tuple[float, float]]] = {}
        for seed, train in enumerate(masks):
            head = trained_head(network, features[train], targets[train], seed)
            for name, values in variants(network, head, features[~train]).items():
                measured.setdefault(name, []).append(shares(values, genres[~train], artists[~train]))
        for name, values_of in measured.items():
            genre_share, artist_share = np.mean(values_of, 0)
            print(f"{title}: features {name} | {genre_share:.1%} | {artist_share:.1%}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
