"""FMA is read in the exact format of its tables, with what is known to be broken left out."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import genre
from genre.data.catalogue import count_skipped
from genre.data.fma import CUT_WRONGLY, read_fma
from genre.errors import SkipKind, UserError
from helpers import csv_rows_by_key, write_song

HEADER = {  # as in fma_metadata.zip: 52 columns in two rows
    "album": "comments date_created date_released engineer favorites id information listens producer tags title tracks "
    "type",
    "artist": "active_year_begin active_year_end associated_labels bio comments date_created favorites id latitude "
    "location longitude members name related_projects tags website wikipedia_page",
    "set": "split subset",
    "track": "bit_rate comments composer date_created date_recorded duration favorites genre_top genres genres_all "
    "information interest language_code license listens lyricist number publisher tags title",
}
COLUMNS = [(group, name) for group, names in HEADER.items() for name in names.split()]
GENRES = """genre_id,#tracks,parent,title,top_level
2,5271,0,International,2
12,32923,0,Rock,12
15,34413,0,Electronic,15
25,9261,12,Punk,12
85,1820,25,Hardcore,12
181,4206,15,House,15
500,1,15,House,15
"""
USUAL = {
    ("album", "date_released"): "2009-01-05 00:00:00",
    ("album", "title"): "AWOL - A Way Of Life",
    ("artist", "bio"): '<p>A "way" of life,\nin two lines; Zoë</p>',
    ("artist", "name"): "AWOL",
    ("set", "split"): "training",
    ("set", "subset"): "small",
    ("track", "genre_top"): "Rock",
    ("track", "genres"): "[85]",
    ("track", "genres_all"): "[85, 12, 25]",
    ("track", "title"): "Food",
}


def table_row(number, **cells):
    """A row of tracks.csv; ``set_split="test"`` sets a cell."""
    own = {tuple(name.split("_", 1)): value for name, value in cells.items()}
    return [number, *((USUAL | own).get(column, "") for column in COLUMNS)]


def write_tables(root: Path, rows, encoding="utf-8", end="\n") -> Path:
    """Write tracks.csv and genres.csv below a folder."""
    folder = root / "fma_metadata"
    folder.mkdir(parents=True, exist_ok=True)
    header = [["", *(group for group, _ in COLUMNS)], ["", *(name for _, name in COLUMNS)], ["track_id", *[""] * 52]]
    with (folder / "tracks.csv").open("w", encoding=encoding, newline="") as file:
        csv.writer(file, lineterminator=end).writerows([*header, *rows])
    (folder / "genres.csv").write_bytes(GENRES.replace("\n", end).encode(encoding))
    return folder


def touch(root: Path, subset: str, *numbers: int) -> None:
    for number in numbers:
        file = root / f"fma_{subset}" / f"{number:06d}"[:3] / f"{number:06d}.mp3"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")


def test_there_are_52_columns():
    assert len(COLUMNS) == 52


@pytest.mark.parametrize(("encoding", "end"), [("utf-8", "\n"), ("utf-8-sig", "\r\n")])
def test_a_track_has_its_file_top_genre_artist_split_and_text(tmp_path, encoding, end):
    write_tables(tmp_path, [table_row(2), table_row(1036, set_split="validation", track_genre_top="Electronic")])
    touch(tmp_path, "small", 2, 1036)
    write_tables(tmp_path, [table_row(2), table_row(1036, set_split="validation")], encoding, end)
    first, second = read_fma(tmp_path).tracks
    assert (first.name, first.path) == ("000002", tmp_path / "fma_small" / "000" / "000002.mp3")
    assert (first.genres, first.artist, first.split) == (("Rock",), "AWOL", "training")
    assert first.extra == {"album": "AWOL - A Way Of Life", "year": "2009", "title": "Food"}
    assert (second.name, second.path, second.split) == (
        "001036",
        tmp_path / "fma_small" / "001" / "001036.mp3",
        "validation",
    )


def test_all_genres_come_with_their_root_first_and_the_tree(tmp_path):
    rows = [
        table_row(2),
        table_row(3, track_genre_top="", track_genres_all="[181, 15, 2]"),
        table_row(4, track_genre_top="", track_genres_all="[]"),
        table_row(5, track_genre_top="Rock", track_genres_all="[12, 999]"),
    ]
    write_tables(tmp_path, rows)
    touch(tmp_path, "small", 2, 3, 4, 5)
    catalogue = read_fma(tmp_path, genres="all")
    assert [track.genres for track in catalogue.tracks] == [
        ("Rock", "Hardcore", "Punk"),
        ("Electronic", "House", "International"),
    ]
    assert catalogue.tree.lineage("Hardcore") == ("Rock", "Punk", "Hardcore")
    assert catalogue.tree.lineage("House (500)") == ("Electronic", "House (500)")
    assert [(item.path, item.reason) for item in catalogue.skipped] == [
        ("4", "no genre"),
        ("5", "genres_all '[12, 999]' is no list of genres in genres.csv"),
    ]


def test_a_subset_contains_the_smaller_ones_and_its_excerpts_may_lie_in_a_larger_ones_folder(tmp_path):
    subsets = ("small", "medium", "large")
    write_tables(tmp_path, [table_row(n, set_subset=subset) for n, subset in enumerate(subsets, start=1)])
    touch(tmp_path, "large", 1, 2, 3)
    touch(tmp_path, "full", 1, 2, 3)
    names = {subset: [track.name for track in read_fma(tmp_path, subset).tracks] for subset in (*subsets, "full")}
    three = ["000001", "000002", "000003"]
    assert names == {"small": three[:1], "medium": three[:2], "large": three, "full": three}
    assert read_fma(tmp_path, "full").tracks[0].path == tmp_path / "fma_full" / "000" / "000001.mp3"


def test_what_is_broken_is_skipped_with_kind_and_reason(tmp_path):
    rows = [
        table_row(2),
        table_row(3),
        table_row(4, track_genre_top=""),
        table_row("five"),
        table_row(6)[:20],
        table_row(98565),
    ]
    write_tables(tmp_path, rows)
    touch(tmp_path, "small", 2, 4, 6, 98565)
    catalogue = read_fma(tmp_path)
    assert [track.name for track in catalogue.tracks] == ["000002"]
    assert [(item.path, item.kind, item.reason) for item in catalogue.skipped] == [
        ("3", SkipKind.NO_SUCH_FILE, "there is no fma_small/000/000003.mp3"),
        ("4", SkipKind.NO_TOP_GENRE, "no top genre"),
        ("five", SkipKind.INVALID_ROW, "'five' is not the number of a track"),
        ("tracks.csv:13", SkipKind.INVALID_ROW, "20 cells instead of 53"),
        ("98565", SkipKind.CUT_WRONGLY, "its excerpt was cut behind the end of the track"),
    ]
    assert "1 without a top genre (data.genres=all with task=multilabel takes them)" in count_skipped(catalogue.skipped)


def test_whole_tracks_whose_excerpts_were_cut_wrongly_are_read(tmp_path):
    write_tables(tmp_path, [table_row(98565)])
    touch(tmp_path, "full", 98565)
    assert [track.name for track in read_fma(tmp_path, "full").tracks] == ["098565"]
    assert len(CUT_WRONGLY) == 21


def latin(folder):
    write_tables(folder.parent, [table_row(2)], encoding="latin-1")


def other_table(folder):
    (folder / "tracks.csv").write_text("track_id,title\n2,Food\n")


def without_genres(folder):
    (folder / "genres.csv").unlink()


def odd_genres(folder):
    (folder / "genres.csv").write_text("genre_id,parent,title\n1,7,Rock\n")


def circular_genres(folder):
    (folder / "genres.csv").write_text("genre_id,parent,title\n1,2,Rock\n2,1,Punk\n")


def nothing(folder):
    write_tables(folder.parent, [table_row(2, set_subset="large")])


def empty(folder):
    (folder / "tracks.csv").write_text("")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (latin, r"tracks.csv is not a CSV in UTF-8 \(.*\); save it as UTF-8 text"),
        (other_table, r"not FMA's table of tracks: its two rows of header have no set\.split; unpack fma_metadata.zip"),
        (empty, "not FMA's table of tracks"),
        (without_genres, "there is no catalogue at .*genres.csv"),
        (odd_genres, r"genres.csv is not FMA's table of genres \(7\)"),
        (circular_genres, r"genres.csv makes rock a part of itself \(rock < punk < rock\)"),
        (nothing, "no usable track of data.subset=small in .*: tracks.csv lists none"),
    ],
)
def test_a_table_that_cannot_be_used_is_a_user_error(tmp_path, spoil, message):
    folder = write_tables(tmp_path, [table_row(2)])
    touch(tmp_path, "small", 2)
    spoil(folder)
    with pytest.raises(UserError, match=message):
        read_fma(tmp_path)


def test_missing_audio_is_a_user_error_that_names_the_folder(tmp_path):
    write_tables(tmp_path, [table_row(2)])
    with pytest.raises(UserError, match=r"has no folder fma_small; unpack fma_small\.zip there"):
        read_fma(tmp_path)
    (tmp_path / "fma_small").mkdir()
    with pytest.raises(
        UserError, match=r"no usable track of data.subset=small .* 'there is no fma_small/000/000002.mp3"
    ):
        read_fma(tmp_path)


def test_a_run_uses_the_official_split_and_measures_each_level(configured, tmp_path):
    """Every genre of a multilabel run counts at the level of its root, too."""
    rows, splits = [], ["training", "training", "validation", "test"]
    for n in range(8):
        write_song(tmp_path / "fma_small" / "000" / f"{n:06d}.mp3", seed=n)
        cells = {"track_genre_top": "Electronic", "track_genres_all": "[181, 15]"} if n < 4 else {}
        rows.append(table_row(n, set_split=splits[n % 4], artist_name=f"artist {n}", **cells))
    write_tables(tmp_path, rows)
    overrides = [f"data.root={tmp_path}", "data.genres=all", "view.seconds=1", "task=multilabel"]
    result = genre.train(configured(*overrides, data="fma"))
    metrics = json.loads((result.folder / "metrics.json").read_text())
    assert metrics["split"] == "column" and metrics["tracks"] == {"train": 4, "val": 2, "test": 2}
    subsets = {name: row["subset"] for name, row in csv_rows_by_key(result.folder / "splits.csv").items()}
    assert subsets == {f"{n:06d}": ["train", "train", "val", "test"][n % 4] for n in range(8)}
    assert {"test/accuracy_level_1", "test/accuracy_level_2", "test/macro_f1_level_1"} <= metrics.keys()
    assert "test/accuracy_level_3" not in metrics


READ_IN_A_PROCESS = """
import json, sys, time
from genre.data.fma import read_fma
begin = time.process_time()
catalogue = read_fma(sys.argv[1], subset="large", genres="all")
seconds = time.process_time() - begin
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps([len(catalogue.tracks), seconds, int(status["VmHWM"].split()[0])]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_106574_rows_are_read_in_20_s_and_1_gb(tmp_path):
    """In a process of its own: its peak by VmHWM, since ru_maxrss would be inherited, and its own time on a processor,
    which other load does not lengthen."""
    count, text = 106_574, "<p>" + "biography of an artist, and what else there is to say; " * 30 + "</p>"
    numbers = np.arange(count).tolist()
    rows = (
        table_row(n, set_subset="large", artist_name=f"artist {n % 16_341}", artist_bio=text, track_title=f"title {n}")
        for n in numbers
    )
    write_tables(tmp_path, rows)
    touch(tmp_path, "large", *numbers)
    command = [sys.executable, "-c", READ_IN_A_PROCESS, str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    tracks, seconds, kilobytes = json.loads(done.stdout)
    assert tracks == count - sum(int(number) < count for number in CUT_WRONGLY)
    assert seconds < 20 and kilobytes < 1e6
