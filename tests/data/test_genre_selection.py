"""Every genre that is kept has enough tracks, and is the first of enough tracks and artists or of none."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from genre.data.catalogue import Track
from genre.data.genre_selection import select_genres


def tracks_of(*rows: tuple[str, str]) -> list[Track]:
    """Tracks of ('rock pop', 'artist')."""
    return [Track(f"{n}", tuple(genres.split()), artist=artist) for n, (genres, artist) in enumerate(rows)]


def test_rare_genres_are_left_out_with_their_number():
    tracks = tracks_of(*[("rock", "a"), ("rock polka", "b"), ("rock", "c"), ("polka", "d")])
    kept, too_little = select_genres(tracks, 3, 3)
    assert [track.genres for track in kept] == [("rock",), ("rock",), ("rock",), ()]
    assert too_little == {"polka": "2 tracks"}


def test_a_track_whose_first_genre_is_rare_goes_to_its_next():
    kept, _ = select_genres(tracks_of(*[("polka rock", artist) for artist in "ab"], ("rock", "c")), 3, 3)
    assert [track.genres for track in kept] == [("rock",)] * 3


def test_a_genre_that_is_seldom_first_goes_behind_the_others():
    tracks = tracks_of(*[("rock live", artist) for artist in "abc"], ("live rock", "d"))
    kept, too_little = select_genres(tracks, 3, 3)
    assert {track.genres for track in kept} == {("rock", "live")}
    assert too_little == {"live": "the first genre of 1 track"}


def test_a_genre_of_too_few_artists_is_left_out():
    tracks = tracks_of(*[("rock", artist) for artist in "abc"], *[("polka", "d")] * 9, *[("ska", "")] * 3)
    kept, too_little = select_genres(tracks, 3, 3)
    assert Counter(track.genres for track in kept) == {("rock",): 3, (): 9, ("ska",): 3}
    assert too_little == {"polka": "1 artist"}


GENRES = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=3, unique=True)
ROWS = st.lists(st.builds(lambda genres, artist: (" ".join(genres), artist), GENRES, st.sampled_from("uvwxyz")))


@given(ROWS, st.integers(1, 5), st.integers(1, 4))
def test_whatever_the_tags_are_the_kept_genres_have_enough_music(rows, few, few_artists):
    tracks = tracks_of(*rows)
    arranged, _ = select_genres(tracks, few, few_artists)
    kept = [track for track in arranged if track.genres]
    counts = Counter(genre for track in kept for genre in track.genres)
    first = Counter(track.genres[0] for track in kept)
    artists = Counter(genre for genre, _ in {(track.genres[0], track.artist) for track in kept})
    assert all(count >= few for count in [*counts.values(), *first.values()])
    assert all(count >= few_artists for count in artists.values())
    assert all(set(new.genres) <= set(old.genres) for old, new in zip(tracks, arranged, strict=True))
