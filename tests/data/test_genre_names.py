"""Genres as people write them in tags have one name each."""

import pytest

from genre.data.genre_names import GenreNames, genre_key, read_names, shown_spellings
from genre.errors import UserError


def names(*values: str, own=None) -> tuple[str, ...]:
    return GenreNames(own).names(values)


@pytest.mark.parametrize(
    "written", ["Hip Hop", "hip-hop", "HipHop", "HIP_HOP", "Hip-Hop/Rap", "hip hop / rap", "Rap/Hip Hop", "Hip–Hop"]
)
def test_spellings_of_hip_hop_are_one(written):
    assert names(written) == ("hip-hop",)


@pytest.mark.parametrize(
    "written", ["R&B", "r & b", "RnB", "R'n'B", "R and B", "Rhythm and Blues", "Rhythm & Blues", "R&B/Soul", "\uff32&B"]
)
def test_spellings_of_rhythm_and_blues_are_one(written):
    assert names(written) == ("r&b",)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["Rock", "Pop"], ("rock", "pop")),
        (["Rock; Pop"], ("rock", "pop")),
        (["Rock/Pop, Indie"], ("rock", "pop", "indie")),
        (["Rock\0Pop|Ska"], ("rock", "pop", "ska")),
        (["Hip-Hop/Rap; R&B/Soul; Funk"], ("hip-hop", "r&b", "funk")),
        (["R&B/Soul/Funk"], ("r&b", "soul", "funk")),
        (["Folk, World, & Country"], ("folk, world and country",)),
        (["Rock", "rock", "ROCK "], ("rock",)),
        (["Drum'n'Bass", "Drum & Bass", "DnB"], ("drum and bass",)),
        (["Singer/Songwriter"], ("singer-songwriter",)),
        (["Alternative & Punk"], ("alternative & punk",)),
        (["日本のロック", "Übermusik"], ("日本のロック", "übermusik")),
    ],
)
def test_several_genres_in_one_value_are_several_unless_the_whole_is_listed(values, expected):
    assert names(*values) == expected


@pytest.mark.parametrize("written", ["", " ", "???", "Other", "unknown", "N/A", ";", "/ ,", "Unknown; Other"])
def test_what_names_no_genre_is_none(written):
    assert names(written) == ()


def test_marks_that_tell_words_apart_stay():
    assert genre_key("\u0930\u0949\u0915") != genre_key("\u0930\u0915")
    assert genre_key("Cafe\u0301") == genre_key("caf\u00e9") != genre_key("cafe")


def test_the_most_frequent_spelling_of_an_unlisted_genre_is_shown():
    spelling_of = shown_spellings(["post rock", "post-rock", "post-rock", "ska", "postrock"])
    assert spelling_of == dict.fromkeys(("post rock", "post-rock", "postrock"), "post-rock") | {"ska": "ska"}


@pytest.fixture
def own(tmp_path):
    """A table of one's own."""
    rows = "genre,as\nRap,hip-hop\nHip-Hop,Urban\nKrautrock,rock;german\nPolka,\nRock/Pop,Rock\n"
    (tmp_path / "own.csv").write_text(rows, encoding="utf-8")
    return read_names(tmp_path / "own.csv")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("rap", ("hip-hop",)),
        ("Hip-Hop/Rap", ("Urban",)),
        ("kraut rock", ("rock", "german")),
        ("Polka; Ska", ("ska",)),
        ("rock / pop", ("Rock",)),
        ("R&B", ("r&b",)),
    ],
)
def test_ones_own_names_go_first(own, written, expected):
    assert names(written, own=own) == expected


def test_a_table_that_contradicts_itself_is_a_user_error(tmp_path):
    (tmp_path / "own.csv").write_text("genre,as\nHip Hop,rap\nhip-hop,urban\n")
    with pytest.raises(UserError, match="gives hip-hop two names: 'urban' and 'rap'"):
        read_names(tmp_path / "own.csv")


def test_a_table_without_its_columns_is_a_user_error(tmp_path):
    (tmp_path / "own.csv").write_text("genre,name\nHip Hop,rap\n")
    with pytest.raises(UserError, match="has no column 'as'"):
        read_names(tmp_path / "own.csv")
