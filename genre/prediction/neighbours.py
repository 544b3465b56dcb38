"""The most similar tracks of a collection by the cosine of their features: exact, in blocks of bounded memory."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

QUERIES, TRACKS = 1024, 8192  # of one matrix product


def most_similar(queries: Tensor, collection: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Find the most similar tracks of a collection, at most ``count`` of them, the most similar first.

    Args:
        queries: features (queries, width).
        collection: features (tracks, width).

    Returns:
        Similarities (queries, count), and the places of the tracks in the collection, (queries, count).
    """
    found = [most_similar_of_block(normalize(block.float()), collection, count) for block in queries.split(QUERIES)]
    similarities, places = zip(*found, strict=True)
    return torch.cat(similarities).clamp(-1, 1), torch.cat(places)


def most_similar_of_block(queries: Tensor, collection: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The same of queries of length 1, of which only the best tracks so far are kept."""
    similarities, places = torch.empty(len(queries), 0), torch.empty(len(queries), 0, dtype=torch.long)
    for begin, tracks in zip(range(0, len(collection), TRACKS), collection.split(TRACKS), strict=True):
        values, found = (queries @ normalize(tracks.float()).T).topk(min(count, len(tracks)))
        similarities, places = torch.cat([similarities, values], 1), torch.cat([places, begin + found], 1)
        similarities, order = similarities.topk(min(count, similarities.shape[1]))
        places = places.gather(1, order)
    return similarities, places
