"""MTG-Jamendo's lists become one catalogue with its five splits."""

import json
from pathlib import Path

import pytest

import genre
from genre.data.jamendo import LIST_COLUMNS, LISTS, OFFICIAL_SPLITS, read_mtg_jamendo
from genre.data.splits import Split
from genre.errors import SkipKind, UserError
from helpers import write_song

HEADER = "\t".join(LIST_COLUMNS)


def line(number, *tags, path=None):
    """A row of a list, such as 'track_0000214 artist_000014 album_000031 14/214.mp3 124.6 genre---punkrock'."""
    file = path or f"{number % 100:02d}/{number}.mp3"
    return "\t".join([f"track_{number:07d}", f"artist_{number:06d}", "album_000031", file, "124.6", *tags])


def subset_of(number, split):
    """Two thirds train, another third is validated and tested in each split."""
    place = (number + split) % 6
    return "validation" if place == 4 else "test" if place == 5 else "train"


def write_lists(root: Path, lines: dict[int, str], encoding="utf-8", end="\n") -> None:
    """Write the lists of all splits: number of a track -> its row."""
    for split in range(OFFICIAL_SPLITS):
        folder = root / "data" / "splits" / f"split-{split}"
        folder.mkdir(parents=True, exist_ok=True)
        for subset in LISTS:
            rows = [row for number, row in lines.items() if subset_of(number, split) == subset]
            text = "".join(f"{row}{end}" for row in [HEADER, *rows])
            (folder / f"autotagging_genre-{subset}.tsv").write_bytes(text.encode(encoding))


def touch(root: Path, *numbers: int, suffix=".mp3") -> None:
    for number in numbers:
        file = root / f"{number % 100:02d}" / f"{number}{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")


TWELVE = {n: line(n, "genre---rock" if n % 2 else "genre---pop", "genre---indie") for n in range(200, 212)}


@pytest.mark.parametrize(("encoding", "end"), [("utf-8", "\n"), ("utf-8-sig", "\r\n")])
def test_a_track_has_its_file_genres_artist_album_and_five_subsets(tmp_path, encoding, end):
    write_lists(tmp_path, TWELVE, encoding, end)
    touch(tmp_path / "audio", *TWELVE)
    catalogue = read_mtg_jamendo(tmp_path)
    track = catalogue.tracks[1]
    assert len(catalogue.tracks) == 12 and not catalogue.skipped
    assert (track.name, track.path) == ("track_0000201", tmp_path / "audio" / "01" / "201.mp3")
    assert (track.genres, track.artist) == (("rock", "indie"), "artist_000201")
    assert track.extra == {"album": "album_000031"} | {f"split_{n}": subset_of(201, n) for n in range(5)}


def test_paths_of_windows_and_files_of_low_quality_are_found(tmp_path):
    write_lists(tmp_path, {200: line(200, "genre---pop", path="00\\200.mp3"), 201: line(201, "genre---rock")})
    touch(tmp_path / "elsewhere", 200, 201, suffix=".low.mp3")
    names = [track.path.name for track in read_mtg_jamendo(tmp_path, tmp_path / "elsewhere").tracks]
    assert names == ["200.low.mp3", "201.low.mp3"]


@pytest.mark.parametrize("fold", [None, *range(OFFICIAL_SPLITS)])
def test_each_fold_is_an_official_split(tmp_path, fold):
    write_lists(tmp_path, TWELVE)
    touch(tmp_path / "audio", *TWELVE)
    _, subsets = Split("column", fold=fold).assign(read_mtg_jamendo(tmp_path))
    spelled = {"train": "train", "validation": "val", "test": "test"}
    assert subsets == {f"track_{n:07d}": spelled[subset_of(n, fold or 0)] for n in TWELVE}


def test_a_fold_that_is_not_there_is_a_user_error_that_names_those_that_are(tmp_path):
    write_lists(tmp_path, TWELVE)
    touch(tmp_path / "audio", *TWELVE)
    with pytest.raises(UserError, match=r"column split_5 of .*split.fold chooses one of its 5 splits: 0, 1, 2, 3, 4"):
        Split("column", fold=5).check(read_mtg_jamendo(tmp_path))


def test_what_is_broken_is_skipped_with_kind_and_reason(tmp_path):
    lines = {200: line(200, "genre---pop"), 201: line(201, "mood/theme---calm"), 202: line(202, "genre---rock")}
    write_lists(tmp_path, lines | {203: "track_0000203\tartist", 206: ""})
    touch(tmp_path / "audio", 200, 201)
    catalogue = read_mtg_jamendo(tmp_path)
    assert [track.name for track in catalogue.tracks] == ["track_0000200"]
    skipped = {(item.path, item.kind, item.reason) for item in catalogue.skipped}
    assert {
        ("track_0000201", SkipKind.INVALID_ROW, "no genre among its tags"),
        ("track_0000202", SkipKind.NO_SUCH_FILE, "there is no 02/202.mp3"),
        ("split-0/autotagging_genre-test.tsv:2", SkipKind.INVALID_ROW, "2 cells instead of 6 or more"),
    } <= skipped


def latin(root):
    write_lists(root, {200: line(200, "genre---pop", path="00/Café.mp3")}, "latin-1")


def other_header(root):
    (root / "data" / "splits" / "split-3" / "autotagging_genre-test.tsv").write_text("TRACK_ID\tTAGS\n")


def missing_list(root):
    (root / "data" / "splits" / "split-4" / "autotagging_genre-train.tsv").unlink()


def no_rows(root):
    write_lists(root, {})


def no_audio(root):
    (root / "audio").rename(root / "elsewhere")


def empty_audio(root):
    for file in (root / "audio").rglob("*.mp3"):
        file.unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (latin, "autotagging_genre-.*tsv is not a CSV in UTF-8"),
        (other_header, "autotagging_genre-test.tsv is not a list of MTG-Jamendo: its header should be TRACK_ID"),
        (missing_list, "there is no catalogue at .*split-4/autotagging_genre-train.tsv"),
        (no_rows, "name no track; fetch the data set's repository again"),
        (no_audio, "has no folder audio; set data.audio"),
        (empty_audio, "no usable track of .* 'there is no "),
    ],
)
def test_what_cannot_be_used_at_all_is_a_user_error(tmp_path, spoil, message):
    write_lists(tmp_path, TWELVE)
    touch(tmp_path / "audio", *TWELVE)
    spoil(tmp_path)
    with pytest.raises(UserError, match=message):
        read_mtg_jamendo(tmp_path)


def test_a_run_uses_the_chosen_official_split(configured, tmp_path):
    write_lists(tmp_path, TWELVE)
    for n in TWELVE:
        write_song(tmp_path / "audio" / f"{n % 100:02d}" / f"{n}.mp3", seed=n)
    overrides = [f"data.root={tmp_path}", "view.seconds=1", "task=multilabel", "split.fold=2"]
    result = genre.train(configured(*overrides, data="mtg_jamendo"))
    metrics = json.loads((result.folder / "metrics.json").read_text())
    assert (metrics["split"], metrics["fold"], metrics["folds"]) == ("column", 2, None)
    assert metrics["tracks"] == {"train": 8, "val": 2, "test": 2}
