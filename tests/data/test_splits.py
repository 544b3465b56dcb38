"""Splits are of tracks, drawn by their own seed, and no artist stands on two sides of an artist split."""

import itertools
from collections import Counter

import pytest

from genre.data.catalogue import Catalogue, Track, read_logmel
from genre.data.splits import Split
from genre.errors import UserError


def tracks(counts: dict[str, int], artists: int = 0) -> Catalogue:
    made = []
    for genre, count in counts.items():
        for index in range(count):
            artist = f"{genre} artist {index % artists}" if artists else ""
            made.append(Track(f"{genre}.{index:05d}", (genre,), artist=artist))
    return Catalogue(tuple(made))


def sizes(catalogue: Catalogue, subsets: dict[str, str]) -> dict[str, Counter[str]]:
    counted = {"train": Counter(), "val": Counter(), "test": Counter()}
    for track in catalogue.tracks:
        counted[subsets[track.name]][track.genres[0]] += 1
    return counted


def test_random_is_70_10_20_percent_of_each_genre():
    catalogue, subsets = Split().assign(tracks({"jazz": 100, "rock": 99}))
    assert sizes(catalogue, subsets) == {
        "train": {"jazz": 70, "rock": 69},
        "val": {"jazz": 10, "rock": 10},
        "test": {"jazz": 20, "rock": 20},
    }


def test_three_tracks_a_genre_are_one_for_each_side():
    catalogue, subsets = Split().assign(tracks({"jazz": 3, "rock": 3}))
    assert all(count == {"jazz": 1, "rock": 1} for count in sizes(catalogue, subsets).values())


@pytest.mark.parametrize("kind", ["random", "artist"])
def test_two_tracks_of_a_genre_are_too_few_and_it_is_named(kind):
    with pytest.raises(UserError, match="genre rock has 2"):
        Split(kind).assign(tracks({"jazz": 9, "rock": 2}))


def test_only_the_splits_seed_moves_a_track_and_not_the_order_of_the_catalogue():
    catalogue = tracks({"jazz": 30, "rock": 30})
    shuffled = Catalogue(catalogue.tracks[::-1])
    assert Split(seed=1).assign(catalogue)[1] == Split(seed=1).assign(shuffled)[1]
    assert Split(seed=1).assign(catalogue)[1] != Split(seed=2).assign(catalogue)[1]


@pytest.mark.parametrize("seed", range(5))
def test_no_artist_stands_on_two_sides(seed):
    catalogue, subsets = Split("artist", seed=seed).assign(tracks({"jazz": 100, "rock": 90}, artists=12))
    sides: dict[str, set[str]] = {}
    for track in catalogue.tracks:
        sides.setdefault(track.artist, set()).add(subsets[track.name])
    assert all(len(side) == 1 for side in sides.values())
    assert sizes(catalogue, subsets)["train"]["jazz"] == pytest.approx(70, abs=9)


def test_tracks_without_an_artist_are_each_their_own_group():
    catalogue, subsets = Split("artist").assign(tracks({"jazz": 100, "rock": 100}))
    assert sizes(catalogue, subsets)["test"] == {"jazz": 20, "rock": 20}


def test_an_artist_of_two_genres_stays_together():
    shared_by_two = tracks({"jazz": 20, "rock": 20})
    both = tuple(Track(f"x.{n}", (genre,), artist="Both") for n, genre in enumerate(("jazz", "rock")))
    _, subsets = Split("artist").assign(Catalogue(shared_by_two.tracks + both))
    assert subsets["x.0"] == subsets["x.1"]


def test_the_column_split_is_the_catalogues_own_word():
    words = ["train", "Training", "valid", "val", "test", ""]
    catalogue = Catalogue(tuple(Track(f"t{n}", ("ab"[n % 2],), split=word) for n, word in enumerate(words)))
    catalogue, subsets = Split("column").assign(catalogue)
    assert subsets == {"t0": "train", "t1": "train", "t2": "val", "t3": "val", "t4": "test"}
    assert [item.path for item in catalogue.skipped] == ["t5"]


def test_an_unknown_word_in_the_column_is_a_mistake():
    with pytest.raises(UserError, match="t0 has split 'practice'"):
        Split("column").assign(Catalogue((Track("t0", ("a",), split="practice"),)))


def held_out(path, text):
    path.write_text(text)
    return str(path)


def test_held_out_tracks_are_the_test_subset_with_the_genres_of_their_table(tmp_path):
    table = held_out(tmp_path / "two.csv", "track,genres\njazz.00000,jazz;rock\nrock.00003,rock;pop\nabsent,pop\n")
    catalogue, subsets = Split(hold_out=table).assign(tracks({"jazz": 50, "rock": 50}))
    assert {name for name, subset in subsets.items() if subset == "test"} == {"jazz.00000", "rock.00003"}
    assert {track.genres for track in catalogue.tracks if subsets[track.name] == "test"} == {
        ("jazz", "rock"),
        ("rock", "pop"),
    }
    assert Counter(subsets.values())["val"] == pytest.approx(98 / 8, abs=1)


def test_an_artist_of_a_held_out_track_does_not_train(tmp_path):
    table = held_out(tmp_path / "two.csv", "track\njazz.00000\n")
    catalogue, subsets = Split("artist", hold_out=table).assign(tracks({"jazz": 50, "rock": 50}, artists=10))
    assert not {t.name for t in catalogue.tracks if t.artist == "jazz artist 0"} - {"jazz.00000"}
    assert {item.reason for item in catalogue.skipped} == {"by an artist of the held-out tracks"}
    assert subsets["jazz.00000"] == "test"


def test_a_table_that_holds_out_nothing_is_a_mistake(tmp_path):
    with pytest.raises(UserError, match="lists none of the catalogue's 40 tracks"):
        Split(hold_out=held_out(tmp_path / "two.csv", "track\nabsent\n")).assign(tracks({"jazz": 20, "rock": 20}))


def test_fault_filtered_on_the_archive_has_no_test_subset(shared):
    catalogue, subsets = Split("fault_filtered").assign(read_logmel(shared / "gtzan_logmel_dev.npz"))
    counts = Counter(subsets.values())
    assert counts["test"] == 0
    assert counts["train"] + counts["val"] == len(catalogue.tracks) == 442 + 197
    assert len(catalogue.skipped) == 709 - 639


def test_all_92_real_tracks_of_two_genres_are_held_out(shared):
    split = Split(hold_out=str(shared / "gtzan_two_genres.csv"))
    catalogue, subsets = split.assign(read_logmel(shared / "gtzan_logmel_dev.npz"))
    tested = [track for track in catalogue.tracks if subsets[track.name] == "test"]
    assert len(tested) == 92
    assert all(len(track.genres) == 2 for track in tested)


def test_every_kind_can_be_named_and_no_other():
    with pytest.raises(ValueError, match=r"split\.kind=segments"):
        Split("segments")
    assert len(set(itertools.chain(Split(kind).kind for kind in ("random", "artist", "column")))) == 3
