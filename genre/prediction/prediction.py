"""What a model says about one piece of music, and over its time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from genre.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

SHOWN = 3  # genres in a repr
NO_FEATURES = "music is compared by features of the network, which an exported file does not have; use the run itself"
COPY = 0.999  # similarity from which music is the same recording: most copies in GTZAN have 0.9999, others 0.98 at most
BAR = "background:#0072B2;height:0.8em;display:inline-block"


class GenreSegment(NamedTuple):
    """A part of the music in which one genre is the most probable.

    Args:
        begin: in seconds.
        end: in seconds.
        genre: the most probable one.
        probability: its mean over the part's windows.
    """

    begin: float
    end: float
    genre: str
    probability: float

    def __str__(self) -> str:
        return f"{clock(self.begin)} to {clock(self.end)} {self.genre} {self.probability:.0%}"


@dataclass(frozen=True, eq=False)
class Timeline:
    """Probabilities in windows from the beginning to the end.

    Args:
        genres: (genres,).
        spans: begin and end of each window in seconds, (windows, 2).
        probabilities: (windows, genres).
    """

    genres: tuple[str, ...]
    spans: npt.NDArray[np.float64]
    probabilities: npt.NDArray[np.float64]

    @property
    def segments(self) -> list[GenreSegment]:
        """Windows in a row with the same most probable genre, merged; they meet halfway between their middles."""
        best, middles = self.probabilities.argmax(1), self.spans.mean(1)
        first = np.flatnonzero(np.r_[True, best[1:] != best[:-1]])
        edges = [self.spans[0, 0], *((middles[first[1:]] + middles[first[1:] - 1]) / 2), self.spans[-1, 1]]
        ends = [*first[1:], len(best)]
        return [
            GenreSegment(edges[n], edges[n + 1], self.genres[best[a]], float(self.probabilities[a:b, best[a]].mean()))
            for n, (a, b) in enumerate(zip(first, ends, strict=True))
        ]


class Neighbour(NamedTuple):
    """A similar piece of music.

    Args:
        name: of its prediction.
        similarity: cosine of the features, from -1 to 1; that of a copy is 1.
    """

    name: str
    similarity: float

    @property
    def is_copy(self) -> bool:
        """Whether it is the same recording."""
        return self.similarity >= COPY


@dataclass(frozen=True)
class Prediction:
    """What a model says about one piece of music.

    Args:
        name: of its file; 'waveform' without one.
        seconds: its length.
        genres: (genres,) that the model knows.
        probabilities: (genres,).
        predicted: the genres that the model gives it.
        uncertain: whether the highest probability is too low, or the distance too large; None if the run has no
            threshold.
        timeline: genres over time; None if it was not asked for.
        distance: from the training tracks: the mean square of its standardised features; None if the network has none.
        features: mean over the windows of what the network's last layers decide from, scaled to length 1, (width,);
            None if it is unknown.
    """

    name: str
    seconds: float
    genres: tuple[str, ...]
    probabilities: tuple[float, ...]
    predicted: tuple[str, ...]
    uncertain: bool | None = None
    timeline: Timeline | None = None
    distance: float | None = None
    features: npt.NDArray[np.float32] | None = field(default=None, repr=False, compare=False)

    def most_probable(self, count: int | None = None) -> list[tuple[str, float]]:
        """Return genres and their probabilities, the most probable first; None: all."""
        ranked = sorted(zip(self.genres, self.probabilities, strict=True), key=lambda pair: -pair[1])
        return ranked[:count]

    def neighbours(self, others: Sequence["Prediction"], count: int = 5) -> list[Neighbour]:
        """Return the most similar of other pieces of music by the network's features, the most similar first.

        Args:
            others: predictions of the same model; this one itself is left out.
            count: the most that are returned.

        Raises:
            UserError: if the features are unknown, as those of exported files are.

        Example:
            >>> answers = genre.load().predict(["a.mp3", "b.mp3", "c.mp3"])
            >>> answers[0].neighbours(answers)
            [Neighbour(name='c.mp3', similarity=0.62), Neighbour(name='b.mp3', similarity=0.12)]
        """
        from genre.prediction.neighbours import most_similar  # imports PyTorch

        others = [other for other in others if other is not self]
        if not others:
            return []
        (similarities,), (places,) = most_similar(features_of([self]), features_of(others), count)
        found = zip(places.tolist(), similarities.tolist(), strict=True)
        return [Neighbour(others[place].name, similarity) for place, similarity in found]

    def __repr__(self) -> str:
        ranked = ", ".join(f"{genre} {probability:.0%}" for genre, probability in self.most_probable(SHOWN))
        return f"<Prediction {self.name} ({clock(self.seconds)}): {ranked}{' (uncertain)' if self.uncertain else ''}>"

    def _repr_html_(self) -> str:
        """The genres as bars, for a notebook."""
        rows = (
            f"<tr><td>{escape(genre)}</td><td>{probability:.0%}</td>"
            f'<td style="width:20em;text-align:left"><span style="{BAR};width:{probability:.1%}"></span></td></tr>'
            for genre, probability in self.most_probable()
        )
        title = f"{escape(self.name)} ({clock(self.seconds)}){', uncertain' if self.uncertain else ''}"
        return f"<table><caption>{title}</caption>{''.join(rows)}</table>"


def features_of(predictions: Sequence[Prediction]) -> "Tensor":
    """Return the features of predictions, (predictions, width).

    Raises:
        UserError: if one has none.
    """
    from torch import from_numpy

    known = [prediction.features for prediction in predictions if prediction.features is not None]
    if len(known) < len(predictions):
        raise UserError(NO_FEATURES)
    return from_numpy(np.stack(known))


def clock(seconds: float) -> str:
    """83.6 -> '1:24', 3723 -> '1:02:03'."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
