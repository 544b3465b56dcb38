"""Leakage between subsets is reported, and avoided where the split groups duplicates."""

import csv
import json
import logging
import shutil

import pytest

import genre
from genre.data.catalogue import Catalogue, Track
from genre.data.leakage import leaked_artists
from genre.data.splits import Split, merge_groups
from genre.errors import UserError
from helpers import csv_rows


@pytest.fixture
def leaky(music, tmp_path):
    """Overrides for the small music with a duplicated jazz track, and a catalogue with artists."""
    root = shutil.copytree(music, tmp_path / "music")
    shutil.copy(root / "jazz" / "jazz.00003.wav", root / "jazz" / "jazz.00010.wav")
    table = tmp_path / "songs.csv"
    lines = [f"{p},{p.parent.name},{split_of(p)},{artist_of(p)}" for p in sorted(root.rglob("*.wav"))]
    table.write_text("\n".join(["path,genres,split,artist", *lines]) + "\n")
    return [f"data.path={table}", "view.seconds=4"]


def split_of(path):
    number = int(path.stem[-5:])
    return "test" if number > 7 else "val" if number > 6 else "train"


def artist_of(path):
    return "Mixed" if path.name in ("rock.00001.wav", "rock.00009.wav") else path.stem


def test_leaked_recordings_and_artists_are_listed_and_logged(configured, leaky, caplog):
    with caplog.at_level(logging.WARNING, "genre.data.leakage"):
        run = genre.train(configured("split=column", *leaky, data="csv"))
    found = [row for row in csv_rows(run.folder / "leaks.csv") if "jazz.00003.wav" in row["track"] + row["other"]]
    assert [(row["kind"], row["subset"], row["other_subset"]) for row in found] == [("recording", "train", "test")]
    assert ("artist Mixed", "train", "test") in [
        (row["kind"], row["subset"], row["other_subset"]) for row in csv_rows(run.folder / "leaks.csv")
    ]
    messages = " ".join(caplog.messages)
    assert "pairs of duplicate tracks in different subsets: " in messages
    assert "split.group_duplicates=true" in messages
    assert "artists in more than one subset: 1; split=artist" in messages


@pytest.mark.parametrize("kind", ["random", "artist"])
@pytest.mark.parametrize("seed", range(4))
def test_group_duplicates_assigns_copies_to_one_subset(kind, seed):
    names = [f"{genre}.{number}" for genre in ("jazz", "rock") for number in range(20)]
    catalogue = Catalogue(tuple(Track(name, (name[:4],), artist=f"by {name}") for name in names))
    copies = [["jazz.1", "jazz.2", "jazz.3"], ["rock.4", "rock.5"], ["elsewhere", "rock.6"]]
    subsets = Split(kind, seed=seed, group_duplicates=True).assign(catalogue, copies)[1]
    assert len({subsets[name] for name in copies[0]}) == len({subsets[name] for name in copies[1]}) == 1
    assert len(subsets) == 40
    assert Split(kind, seed=seed).assign(catalogue, copies)[1] == Split(kind, seed=seed).assign(catalogue)[1]


def test_groups_with_a_common_recording_are_merged():
    groups = merge_groups({"a1": "A", "a2": "A", "b1": "B", "c1": "C"}, [["a2", "b1"]])
    assert groups == {"a1": "A", "a2": "A", "b1": "A", "c1": "C"}


def test_copies_of_held_out_tracks_are_skipped(tmp_path):
    names = [f"{genre}.{number}" for genre in ("jazz", "rock") for number in range(9)]
    catalogue = Catalogue(tuple(Track(name, (name[:4],)) for name in names))
    (tmp_path / "held.csv").write_text("track\njazz.0\n")
    split = Split(hold_out=str(tmp_path / "held.csv"), group_duplicates=True)
    kept, subsets = split.assign(catalogue, [["jazz.0", "jazz.5"]])
    assert subsets["jazz.0"] == "test" and "jazz.5" not in subsets
    assert [(item.path, item.reason) for item in kept.skipped] == [
        ("jazz.5", "the same recording as one of the held-out tracks")
    ]


def test_a_split_by_lists_refuses_group_duplicates(configured):
    with pytest.raises(UserError, match="needs split=random or split=artist; split=column lists its tracks"):
        genre.train(configured("split=column", "split.group_duplicates=true"))


def test_tracks_without_an_artist_are_not_leaked():
    catalogue = Catalogue((Track("a", ("x",)), Track("b", ("x",)), Track("c", ("x",), artist="C")))
    assert leaked_artists(catalogue, {"a": "train", "b": "test", "c": "val"}) == {}


@pytest.mark.slow
def test_known_duplicates_of_gtzan_leak_in_its_random_split(shared, configured):
    """The pairs are listed by Sturm (2013) and others, independently of this program."""
    with (shared / "gtzan_duplicates.csv").open(newline="") as file:
        known = [[cell.split("/")[-1] for cell in row[:2]] for row in list(csv.reader(file))[1:]]
    archive = f"data.path={shared / 'gtzan_logmel_dev.npz'}"
    run = genre.train(configured(archive, "+trainer.limit_train_batches=1", data="logmel"))
    subsets = {row["track"]: row["subset"] for row in csv_rows(run.folder / "splits.csv")}
    present = [pair for pair in known if set(pair) <= subsets.keys()]
    crossing = {frozenset(pair) for pair in present if subsets[pair[0]] != subsets[pair[1]]}
    reported = {frozenset((row["track"], row["other"])) for row in csv_rows(run.folder / "leaks.csv")}
    assert crossing and crossing <= reported
    assert json.loads((run.folder / "metrics.json").read_text())["leaks"]["recordings"] >= len(crossing)
