"""Columns of a catalogue become weighted tokens that are the same everywhere."""

import numpy as np
import pytest
import torch

from genre.data.catalogue import Catalogue, Track
from genre.data.metadata import MetadataTable, check_columns, check_metadata_names, hashed, token_hash, tokens_of
from genre.errors import UserError


def catalogue(*rows):
    """Tracks 0, 1, … with these further columns."""
    tracks = (Track(str(n), ("rock",), artist=row.pop("artist", ""), extra=row) for n, row in enumerate(rows))
    return Catalogue(tuple(tracks))


def table(columns, *rows):
    return MetadataTable(catalogue(*rows), columns, [str(n) for n in range(len(rows))])


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        ("1987", ["1987", "1980s"]),
        (" 1987.0 ", ["1987", "1980s"]),
        ("\uff11\uff19\uff18\uff17", ["1987", "1980s"]),
        ("-7.5", ["-7.5", "-10s"]),
        ("1987-05-03", ["1987", "05", "03", "1980s", "1987 05 03"]),
        ("Queen", ["queen"]),
        ("Don't Stop  Me", ["don't", "stop", "me", "don't stop me"]),
        ("Cafe\u0301", ["caf\u00e9"]),
        ("one two three four five six seven", ["one", "two", "three", "four", "five", "six", "seven"]),
        ("", []),
        (" - ?", []),
    ],
)
def test_a_number_gives_itself_and_its_ten_and_a_text_its_words_and_itself_if_it_is_short(value, tokens):
    assert list(tokens_of(value)) == tokens


def test_a_token_has_the_same_number_on_every_machine():
    assert hashed("year", "1987").tolist() == [token_hash("year\x001987"), token_hash("year\x001980s")]
    assert token_hash("title\x00love") == 6622027672574333503


def test_the_same_word_in_two_columns_is_two_tokens():
    assert not {*hashed("title", "Queen").tolist()} & {*hashed("artist", "Queen").tolist()}


def test_every_value_weighs_the_same_and_a_missing_one_nothing():
    bags = table(["year", "text"], {"year": "1987", "text": "a b c d e f g"}, {"year": "", "text": "x"}, {}).bags(
        torch.arange(3)
    )
    assert bags.weights[bags.tokens > 0].square().sum() == pytest.approx(3)
    assert (bags.tokens > 0).sum(1).tolist() == [9, 1, 0]


def test_a_name_that_the_catalogue_has_no_track_for_has_no_tokens():
    one = MetadataTable(catalogue({"title": "x"}), ["title"], ["0", "gone"])
    assert not one.has_values(torch.tensor([1])) and one.has_values(torch.tensor([0, 1]))


def test_values_are_left_out_at_their_rate_and_the_same_under_the_same_seed():
    full = table(["a", "b"], *[{"a": "x", "b": "y"}] * 2000)
    rows = torch.arange(2000)
    dropped, again, other = (full.training_bags(rows, 0.3, draw) for draw in (1, 1, 2))
    assert (dropped.tokens > 0).sum() / 4000 == pytest.approx(0.7, abs=0.03)
    assert torch.equal(dropped.tokens, again.tokens) and not torch.equal(dropped.tokens, other.tokens)
    assert torch.equal(full.training_bags(rows, 0.0, 1).tokens, full.bags(rows).tokens)


def test_mixup_mixes_bags_and_a_mixture_of_sounds_has_none():
    bags = table(["title"], {"title": "x"}, {"title": "y"}).bags(torch.arange(2))
    mixed = bags.mixed(torch.tensor([1, 0]), torch.tensor([0.25, 1.0]))
    found = [
        {t: w for t, w in zip(*row, strict=True) if w}
        for row in zip(mixed.tokens.tolist(), mixed.weights.tolist(), strict=True)
    ]
    x, y = (int(hashed("title", word)[0]) for word in "xy")
    assert found == [{x: 0.25, y: 0.75}, {y: 1.0}]
    assert bags.without(torch.tensor([True, False])).weights.sum(1).tolist() == [0, 1]


def test_only_tokens_of_two_tracks_are_known():
    known = table(["t"], {"t": "a b"}, {"t": "a c"}, {"t": "d d d d d d d"}).frequent_tokens(torch.arange(3))
    assert known.tolist() == hashed("t", "a").tolist()
    assert (np.diff(known.numpy()) > 0).all()


@pytest.mark.parametrize("column", ["genres", "genre", "split", "split_0", "path", "track", "Genre"])
def test_the_target_is_no_metadata(column):
    with pytest.raises(UserError, match=rf"the column {column} says which genre a track has, or where it lies"):
        check_metadata_names(["title", column], "artist")


@pytest.mark.parametrize("column", ["artist", "album", "Album"])
def test_a_column_that_gives_the_genre_away_needs_split_artist(column):
    check_metadata_names([column], "artist")
    with pytest.raises(
        UserError, match=rf"the column {column} needs split=artist; under split=random the same artists"
    ):
        check_metadata_names([column], "random")


def test_a_column_that_is_not_there_is_told_with_those_that_are():
    there = catalogue({"title": "x", "artist": "Queen", "empty": ""})
    check_columns(["artist", "title"], there)
    for column in ("titel", "empty"):
        with pytest.raises(UserError, match=f"no column {column}, or an empty one; it has artist, title"):
            check_columns([column], there)
    with pytest.raises(UserError, match=r"no column title, or an empty one; data=csv, or data.catalogue=tracks.csv"):
        check_columns(["title"], catalogue({}))
