"""Which genres of a library have enough music to be learnt and tested."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from genre.data.catalogue import Track
from genre.data.spelling import comparison_key
from genre.terminal import counted


class GenreSelection:
    """Leaves out the genres of too little music, one after the other: the tracks of one may go to others.

    Args:
        tracks: with all their genres.
        few: tracks that a genre needs, and those that a track's first genre needs as the first.
        few_artists: artists that a track's first genre needs; a track without an artist has one of its own.

    Attributes:
        rare: genre -> why it is left out.
        second: genre -> why it is not the first of any track.
        arranged: per track its genres that are kept, those that may be the first before others; none without such.
    """

    def __init__(self, tracks: Sequence[Track], few: int, few_artists: int) -> None:
        self.tracks, self.few, self.few_artists = tracks, few, few_artists
        self.rare: dict[str, str] = {}
        self.second: dict[str, str] = {}
        self.arranged = [track.genres for track in tracks]
        self.artists = [artist_of(track) for track in tracks]
        self.rows: dict[str, list[int]] = defaultdict(list)
        self.counts: Counter[str] = Counter()
        self.first: dict[str, Counter[str]] = defaultdict(Counter)  # genre -> artist -> tracks
        for row, track in enumerate(tracks):
            self.count(row, 1)
            for genre in track.genres:
                self.rows[genre].append(row)
        while self.leave_out_rare() or self.put_behind():
            pass

    def count(self, row: int, change: int) -> None:
        """Add a track's arranged genres to the counts, or take them away."""
        genres = self.arranged[row]
        self.counts.update(dict.fromkeys(genres, change))
        if genres:
            artists = self.first[genres[0]]
            artists[self.artists[row]] += change
            if not artists[self.artists[row]]:
                del artists[self.artists[row]]

    def arrange(self, genre: str) -> None:
        """Arrange the tracks of a genre anew."""
        for row in self.rows[genre]:
            self.count(row, -1)
            kept = [name for name in self.tracks[row].genres if name not in self.rare]
            kept.sort(key=lambda name: name in self.second)  # stable
            self.arranged[row] = () if not kept or kept[0] in self.second else tuple(kept)
            self.count(row, 1)

    def leave_out_rare(self) -> bool:
        """Leave out a genre that too few tracks have; False if there is none."""
        few = ((count, genre) for genre, count in self.counts.items() if count < self.few and genre not in self.rare)
        count, genre = min(few, default=(0, ""))
        if genre:
            self.rare[genre] = counted(count, "track")
            self.arrange(genre)
        return bool(genre)

    def put_behind(self) -> bool:
        """Put a genre behind the others that is the first of too few tracks or artists; False if there is none."""
        first = {genre: (artists.total(), len(artists)) for genre, artists in self.first.items() if artists}
        few = ((n, genre) for genre, (n, artists) in first.items() if n < self.few or artists < self.few_artists)
        count, genre = min(few, default=(0, ""))
        if genre:
            as_first, by = f"the first genre of {counted(count, 'track')}", counted(first[genre][1], "artist")
            self.second[genre] = as_first if count < self.few else by
            self.arrange(genre)
        return bool(genre)


def artist_of(track: Track) -> str:
    """What tells a track's artist from others."""
    return f"artist {comparison_key(track.artist)}" if track.artist else f"track {track.name}"


def select_genres(tracks: Sequence[Track], few: int, few_artists: int) -> tuple[list[Track], dict[str, str]]:
    """Keep the genres that enough tracks have, and order them so that the first of each track has enough by itself.

    Args:
        few: tracks that a genre needs.
        few_artists: artists that a track's first genre needs.

    Returns:
        The tracks, without genres where none of theirs can be the first; and genre -> what it has too little of.
    """
    selection = GenreSelection(tracks, few, few_artists)
    arranged = [replace(track, genres=genres) for track, genres in zip(tracks, selection.arranged, strict=True)]
    return arranged, selection.rare | selection.second
