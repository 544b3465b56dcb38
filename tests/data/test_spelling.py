"""Genres and artists that differ in letter case, Unicode form or white space only are one."""

import logging

import pytest

from genre.config.build import read_catalogue
from genre.config.settings import DataSettings
from genre.data.catalogue import Catalogue, Track
from genre.data.spelling import comparison_key, spell_like

COMPOSED, DECOMPOSED = "Caf\u00e9", "Cafe\u0301"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Rock", "rOCK"),
        (COMPOSED, DECOMPOSED),
        ("hip  hop", "hip\u00a0hop"),
        (" Queen", "queen\t"),
        ("\uff32\uff4f\uff43\uff4b", "rock"),  # full-width letters
        ("Stra\u00dfe", "STRASSE"),
    ],
)
def test_spellings_of_one_label_have_one_key(one, other):
    assert comparison_key(one) == comparison_key(other)


def test_other_labels_have_other_keys():
    assert len({comparison_key(label) for label in ("R&B", "R & B", "rock", "rock'n'roll", "Cafe", COMPOSED)}) == 6


def settings_of(tmp_path, text: str, **keys) -> DataSettings:
    (tmp_path / "songs.csv").write_text(text, encoding="utf-8")
    reader = {"_target_": "genre.data.catalogue.read_csv", "path": str(tmp_path / "songs.csv")}
    return DataSettings.model_validate(reader | keys)


def test_the_most_frequent_spelling_is_shown_and_the_merger_is_logged(tmp_path, caplog):
    text = f"path,genres,artist\na,rock,Queen\nb,Rock,queen \nc,rock,Queen\nd,{COMPOSED};rock,\ne,{DECOMPOSED};ROCK,\n"
    with caplog.at_level(logging.WARNING, "genre.data.spelling"):
        catalogue = read_catalogue(settings_of(tmp_path, text))
    assert [track.genres for track in catalogue.tracks] == [("rock",)] * 3 + [(COMPOSED, "rock")] * 2
    assert [track.artist for track in catalogue.tracks] == ["Queen", "Queen", "Queen", "", ""]
    assert [message.split(":")[0] for message in caplog.messages] == [
        "merged genres that differ in letter case, Unicode form or spaces only",
        "merged artists that differ in letter case, Unicode form or spaces only",
    ]
    assert "rock (written 'ROCK', 'Rock', 'rock')" in caplog.text


def test_the_limit_of_tracks_counts_a_genre_in_all_its_spellings(tmp_path):
    text = "path,genres\na,rock\nb,Rock\nc,ROCK\nd,pop\n"
    catalogue = read_catalogue(settings_of(tmp_path, text, limit_tracks=2))
    assert [track.name for track in catalogue.tracks] == ["a", "b", "d"]


def test_a_catalogue_without_variants_stays_as_it_is(caplog):
    catalogue = Catalogue((Track("a", ("Rock",), artist="Queen"), Track("b", ("pop",))))
    assert catalogue.with_merged_spellings() == catalogue and not caplog.messages


def test_genres_take_the_spelling_of_known_ones():
    assert spell_like(["rock", " ROCK", "Polka"], ["Rock", "pop"]) == ("Rock", "Polka")
