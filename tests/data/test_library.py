"""A library becomes a catalogue by the tags of its files."""

import json
import os
from pathlib import Path

import pytest

import genre
from genre.data import tag_cache
from genre.data.audio import readable_suffixes
from genre.data.library import read_library
from genre.data.tag_cache import library_tags
from genre.errors import BadAudio, SkipKind, SkipReason, UserError
from genre.tagging.read import Tags
from helpers import csv_rows_by_key, write_song

HIP_HOP = ["Hip Hop", "hip-hop", "HipHop", "Hip-Hop/Rap", "(7)"]
SUFFIXES = [".mp3", ".flac", ".ogg", ".opus", ".wav"]


@pytest.fixture(scope="session")
def library(tmp_path_factory) -> Path:
    """Five hip-hop and five jazz songs of five formats, two polkas by one artist, and files that cannot be used."""
    root = tmp_path_factory.mktemp("library")
    for n, (suffix, spelling) in enumerate(zip(SUFFIXES, HIP_HOP, strict=True)):
        own = {"artist": f"Rapper {n % 3}", "album": f"album {n}", "date": f"{1990 + n}-01-01", "title": f"song {n}"}
        write_song(root / f"Rapper {n % 3}" / f"{n}{suffix}", seed=n, genre=spelling, **own)
        write_song(root / f"jazz {n}{suffix}", seed=10 + n, genre=["Jazz", "Soul"], artist=f"Trio {n}")
    for n in range(2):
        write_song(root / "p" / f"polka {n}.mp3", seed=20 + n, genre="Polka", artist="Band")
    write_song(root / "untagged.mp3", seed=30)
    write_song(root / "other.flac", seed=31, genre="Other")
    (root / "broken.mp3").write_bytes(b"ID3\x04\0\0\0\0\0\x7f")
    (root / "cover.jpg").write_bytes(b"")
    return root


def test_a_library_is_read_by_its_tags(library):
    tracks = {track.name: track for track in read_library(library).tracks}
    assert len(tracks) == 10 and {track.genres for track in tracks.values()} == {("hip-hop",), ("jazz", "soul")}
    track = tracks["Rapper 1/1.flac"]
    assert (track.path, track.artist) == (library / "Rapper 1" / "1.flac", "Rapper 1")
    assert track.extra == {"album": "album 1", "year": "1991", "title": "song 1"}


def test_what_is_left_out_is_listed_with_the_reason_and_logged(library, caplog):
    caplog.set_level("INFO")
    skipped = {Path(item.path).name: (item.kind, item.reason) for item in read_library(library).skipped}
    kind, reason = skipped.pop("broken.mp3")
    assert kind is SkipKind.UNREADABLE and reason.startswith("unreadable tags")
    polka = (SkipKind.FEW_TRACKS, "too little music: polka (2 tracks)")
    assert skipped == {
        "untagged.mp3": (SkipKind.NO_GENRE, "no genre in its tags"),
        "other.flac": (SkipKind.NO_GENRE, "'Other' names no genre"),
        "cover.jpg": (SkipKind.NOT_AUDIO, "not audio by its name (.jpg)"),
        "polka 0.mp3": polka,
        "polka 1.mp3": polka,
    }
    assert "3 genres in the tags of 10 tracks: " in caplog.text and "hip-hop 5" in caplog.text
    assert "without a genre: 2 without a genre in the tags" in caplog.text
    assert "left out because of too little music: polka (2 tracks)" in caplog.text


def test_genres_that_only_a_run_of_several_genres_learns_are_named(library, caplog):
    caplog.set_level("INFO")
    read_library(library)
    assert "never the first genre of a track, so that only task=multilabel learns them: soul 5" in caplog.text


def test_few_genres_can_be_kept_and_named_by_a_table(library, tmp_path):
    (tmp_path / "own.csv").write_text("genre,as\nPolka,folk\nJazz,Jazz\nSoul,\n")
    catalogue = read_library(library, few=2, few_artists=1, genres_as=tmp_path / "own.csv")
    assert catalogue.genres == ["Jazz", "folk", "hip-hop"]


@pytest.mark.parametrize(("few", "message"), [(6, r"has 6 tracks of 3 artists \(.*12 of genres with"), (5, "no audio")])
def test_a_library_without_a_usable_genre_is_a_user_error(library, tmp_path, few, message):
    root = library if few == 6 else tmp_path
    with pytest.raises(UserError, match=message):
        read_library(root, few=few)


def test_a_missing_folder_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match=r"data\.root=.* is not a folder"):
        read_library(tmp_path / "nowhere")


def test_tags_are_kept_until_their_file_changes(library, tmp_path, monkeypatch):
    song = write_song(tmp_path / "music" / "a.mp3", genre="Jazz")
    other = write_song(tmp_path / "music" / "b.flac", genre="Rock", artist="Zoë")
    first = library_tags(tmp_path, [song, other], tmp_path / "cache")
    read = []
    monkeypatch.setattr(tag_cache, "read_tags", lambda file: read.append(file) or Tags(("new",)))
    assert library_tags(tmp_path, [song, other], tmp_path / "cache") == first and not read
    os.utime(song, ns=(0, 0))
    assert library_tags(tmp_path, [song, other], tmp_path / "cache") == {song: Tags(("new",)), other: first[other]}
    assert read == [song]


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"PATH": 3}', '{"PATH": [[1, 2]]}', '{"PATH": [[], 3]}'])
def test_damaged_kept_tags_are_read_again(tmp_path, damage):
    song = write_song(tmp_path / "a.mp3", genre="Jazz")
    tags = library_tags(tmp_path, [song], tmp_path / "cache")
    (kept,) = (tmp_path / "cache").glob("tags-*.json")
    kept.write_text(damage.replace("PATH", str(song)))
    assert library_tags(tmp_path, [song], tmp_path / "cache") == tags
    assert json.loads(kept.read_text()).keys() == {str(song)}


def test_a_file_that_could_not_be_read_is_read_again(tmp_path, monkeypatch):
    song, usual = write_song(tmp_path / "a.mp3", genre="Jazz"), tag_cache.read_tags

    def fail(file):
        raise BadAudio(SkipKind.NOT_READ, "unreadable: Input/output error")

    monkeypatch.setattr(tag_cache, "read_tags", fail)
    failed = library_tags(tmp_path, [song], tmp_path / "cache")
    assert failed == {song: SkipReason(SkipKind.NOT_READ, "unreadable: Input/output error")}
    monkeypatch.setattr(tag_cache, "read_tags", usual)
    assert library_tags(tmp_path, [song], tmp_path / "cache")[song].genres == ("Jazz",)


def test_m4a_files_are_read_where_they_can_be_decoded(tmp_path):
    for n in range(3):
        write_song(tmp_path / f"{n}.mp3", genre="Jazz", artist=f"{n}")
    write_song(tmp_path / "3.m4a", genre="Jazz", artist="3")
    decodable = ".m4a" in readable_suffixes()
    assert len(read_library(tmp_path, few=3).tracks) == 3 + decodable


@pytest.mark.parametrize(
    ("task", "genres"), [("multiclass", ["hip-hop", "jazz"]), ("multilabel", ["hip-hop", "jazz", "soul"])]
)
def test_a_run_learns_from_a_library_by_artist(library, configured, tmp_path, task, genres):
    overrides = [f"data.root={library}", "view.seconds=1", f"task={task}", "model.metadata=[year]"]
    result = genre.train(configured(*overrides, data="library"))
    metrics = json.loads((result.folder / "metrics.json").read_text())
    assert metrics["split"] == "artist"
    subsets = {}
    for name, row in csv_rows_by_key(result.folder / "splits.csv").items():
        artist = name.split("/")[0] if "/" in name else name
        subsets.setdefault(artist, set()).add(row["subset"])
    assert len(subsets) == 8 and all(len(each) == 1 for each in subsets.values())
    assert list(genre.load(result.folder).genres) == genres
    evaluated = genre.compose(f"run={result.folder}", f"folder={tmp_path / 'again'}", config_name="evaluate")
    assert genre.evaluate(evaluated)
