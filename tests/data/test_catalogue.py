"""Folders, tables and archives become a catalogue of tracks."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from genre.data.catalogue import count_skipped, read_csv, read_folder, read_logmel
from genre.errors import SkipKind, UserError
from genre.files import read_csv_rows, write_csv


def touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")


def test_one_folder_per_genre_is_read_at_any_depth(tmp_path):
    touch(tmp_path / "dub" / "a.MP3", tmp_path / "dub" / "album" / "b.flac", tmp_path / "ska" / "c.opus")
    catalogue = read_folder(tmp_path)
    assert [(track.name, track.genres) for track in catalogue.tracks] == [
        ("dub/a.MP3", ("dub",)),
        ("dub/album/b.flac", ("dub",)),
        ("ska/c.opus", ("ska",)),
    ]


def test_files_that_are_not_audio_are_skipped_with_a_reason(tmp_path):
    touch(tmp_path / "dub" / "a.wav", tmp_path / "dub" / "._a.wav", tmp_path / "dub" / "cover.jpg")
    reasons = {Path(item.path).name: item.reason for item in read_folder(tmp_path).skipped}
    assert reasons == {"._a.wav": "hidden file (macOS resource fork)", "cover.jpg": "not audio by its name (.jpg)"}


def test_a_song_outside_the_folders_and_an_empty_folder_are_skipped_with_a_remedy(tmp_path):
    touch(tmp_path / "dub" / "a.wav", tmp_path / "loose.mp3", tmp_path / "notes.txt", tmp_path / "ska" / "cover.jpg")
    (tmp_path / "polka").mkdir()
    skipped = read_folder(tmp_path).skipped
    assert {Path(item.path).name: item.reason for item in skipped} == {
        "loose.mp3": "outside the genre folders; move each into the folder of its genre",
        "cover.jpg": "not audio by its name (.jpg)",
        "polka": "a genre folder without audio; add music or remove the folder",
        "ska": "a genre folder without audio; add music or remove the folder",
    }
    assert count_skipped(skipped) == (
        "2 genre folder without audio (add music or remove the folder), 1 outside the genre folders (move each into "
        "the folder of its genre), 1 not audio by its name"
    )


def test_audio_of_a_format_that_is_not_read_is_skipped_with_the_command_that_converts_it(tmp_path):
    touch(tmp_path / "dub" / "a.wav", tmp_path / "ska" / "b.M4A")
    (item,) = read_folder(tmp_path).skipped
    assert item.kind is SkipKind.OTHER_FORMAT
    assert item.reason == ".m4a is not read; convert it: ffmpeg -i b.M4A b.flac"


def test_a_collection_of_formats_that_are_not_read_is_a_user_error_that_counts_them(tmp_path):
    touch(*(tmp_path / "dub" / f"{number}.m4a" for number in range(6)))
    with pytest.raises(UserError, match=r"6 in a format that is not read \(convert them: ffmpeg"):
        read_folder(tmp_path)


@pytest.mark.parametrize("folder", ["nowhere", "."])
def test_a_folder_without_music_is_a_user_error_that_names_it(tmp_path, folder):
    with pytest.raises(UserError, match=r"data\.root"):
        read_folder(tmp_path / folder)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_keeps_every_column(tmp_path):
    table = write(
        tmp_path / "songs.csv",
        "path,genres,artist,split,start,duration,mood\na b.mp3,rock; pop,Zoë,valid,12.5,30,sunny\n",
    )
    (track,) = read_csv(table).tracks
    assert track.path == tmp_path / "a b.mp3"
    assert (track.genres, track.artist, track.split) == (("rock", "pop"), "Zoë", "valid")
    assert (track.start, track.duration, track.extra) == (12.5, 30.0, {"mood": "sunny"})


def test_paths_are_relative_to_the_root_if_given(tmp_path):
    (tmp_path / "music").mkdir()
    table = write(tmp_path / "songs.csv", "path,genres\na.mp3,rock\n")
    assert read_csv(table, tmp_path / "music").tracks[0].path == tmp_path / "music" / "a.mp3"


def test_two_slices_of_one_file_are_two_tracks(tmp_path):
    table = write(tmp_path / "songs.csv", "path,genres,start\na.mp3,rock,0\na.mp3,pop,60\n")
    assert [track.name for track in read_csv(table).tracks] == ["a.mp3", "a.mp3@60"]


def test_bad_rows_are_skipped_by_line(tmp_path):
    table = write(tmp_path / "songs.csv", "path,genres,start\na.mp3,rock,\nb.mp3,,\nc.mp3,pop,soon\n,pop,\n")
    catalogue = read_csv(table)
    assert [track.name for track in catalogue.tracks] == ["a.mp3"]
    assert [(item.path, item.reason) for item in catalogue.skipped] == [
        ("songs.csv:3", "no genre"),
        ("songs.csv:4", "start 'soon' is not a number of seconds"),
        ("songs.csv:5", "no path"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,artist\na.mp3,me\n", "no column 'genres'"),
        ("path,genres\n", "has no rows"),
        ("path,genres\nb.mp3,pop\na.mp3,rock\n\na.mp3,pop\n", "rows 3 and 4 of .* a.mp3: genres is 'rock' and 'pop'"),
        ("path,genres,mood\na.mp3,rock,sad\na.mp3,rock,gay\n", "rows 2 and 3 of .* mood is 'sad' and 'gay'"),
    ],
)
def test_a_table_that_cannot_be_used_is_a_user_error(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read_csv(write(tmp_path / "songs.csv", text))


def test_a_repeated_row_counts_once(tmp_path):
    catalogue = read_csv(write(tmp_path / "songs.csv", "path,genres\na.mp3,rock\nb.mp3,pop\na.mp3,rock\n"))
    assert [track.name for track in catalogue.tracks] == ["a.mp3", "b.mp3"]
    assert [(item.path, item.reason) for item in catalogue.skipped] == [("songs.csv:4", "the same as row 2")]


def test_a_row_repeated_in_another_spelling_counts_once(tmp_path):
    text = "path,genres,artist,start\na.mp3,rock; pop,Queen,0\na.mp3,Rock;Pop,queen ,\n"
    catalogue = read_csv(write(tmp_path / "songs.csv", text))
    assert [track.genres for track in catalogue.tracks] == [("rock", "pop")]
    assert [item.reason for item in catalogue.skipped] == ["the same as row 2"]


def test_a_path_with_a_zero_byte_is_a_bad_row(tmp_path):
    catalogue = read_csv(write(tmp_path / "songs.csv", "path,genres\na.mp3,rock\nb\0.mp3,pop\n"))
    assert [item.reason for item in catalogue.skipped] == ["the path holds a zero byte"]


@pytest.mark.parametrize("name", ["new\nline.wav", "return\rline.wav", "日本 'é\", .wav", os.fsdecode(b"\xff\xfe.wav")])
def test_a_name_of_any_characters_is_one_cell(tmp_path, name):
    touch(tmp_path / "dub" / name)
    (track,) = read_folder(tmp_path).tracks
    assert track.path.exists()
    write_csv(tmp_path / "table.csv", ("track", "genre"), [(track.name, "dub"), ("b", "c")])
    assert read_csv_rows(tmp_path / "table.csv") == [("track", "genre"), (track.name, "dub"), ("b", "c")]


def test_a_link_to_itself_and_a_folder_named_like_a_file_are_skipped(tmp_path):
    touch(tmp_path / "dub" / "a.wav", tmp_path / "dub" / "x.wav" / "b.wav")
    (tmp_path / "dub" / "loop.wav").symlink_to("loop.wav")
    (tmp_path / "dub" / "again").symlink_to(".")
    catalogue = read_folder(tmp_path)
    assert [track.name for track in catalogue.tracks] == ["dub/a.wav", "dub/x.wav/b.wav"]
    assert [(Path(item.path).name, item.reason) for item in catalogue.skipped] == [
        ("loop.wav", "not a file (a broken link?)")
    ]


def test_a_folder_without_read_permission_is_listed(tmp_path, monkeypatch):
    touch(tmp_path / "dub" / "a.wav", tmp_path / "dub" / "shut" / "b.wav")
    usual = os.scandir

    def refuse(path):
        if os.path.basename(path) == "shut":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return usual(path)

    monkeypatch.setattr("os.scandir", refuse)  # root may enter every folder
    catalogue = read_folder(tmp_path)
    assert [item.reason for item in catalogue.skipped] == ["a folder without read permission"]


def test_a_table_in_another_encoding_is_a_user_error(tmp_path):
    (tmp_path / "songs.csv").write_bytes("path,genres\nZoë.mp3,rock\n".encode("latin-1"))
    with pytest.raises(UserError, match="UTF-8"):
        read_csv(tmp_path / "songs.csv")


def archive(path: Path, names: list[str], genres: list[str]) -> Path:
    np.savez(path, mel_u8=np.zeros((len(names), 4, 5), np.uint8), track=np.array(names), genre=np.array(genres))
    return path


def test_an_archive_with_a_catalogue_is_their_intersection(tmp_path):
    path = archive(tmp_path / "mel.npz", ["a", "b"], ["rock", "pop"])
    table = write(tmp_path / "songs.csv", "track,genres,artist\nb,pop;disco,Me\nc,rock,You\n")
    catalogue = read_logmel(path, table)
    assert [(track.name, track.genres, track.artist) for track in catalogue.tracks] == [("b", ("pop", "disco"), "Me")]
    assert {(item.path, item.reason) for item in catalogue.skipped} == {
        ("a", "not in songs.csv"),
        ("c", "in the catalogue only"),
    }


def test_a_blank_cell_of_genres_keeps_the_archives_own(tmp_path):
    path = archive(tmp_path / "mel.npz", ["a"], ["rock"])
    (track,) = read_logmel(path, write(tmp_path / "songs.csv", "track,genres\na,  \n")).tracks
    assert track.genres == ("rock",)


@pytest.mark.parametrize("cell", [";", " ; ;"])
def test_a_cell_of_separators_alone_is_a_user_error(tmp_path, cell):
    path = archive(tmp_path / "mel.npz", ["a"], ["rock"])
    with pytest.raises(UserError, match=f"the genres of a in .*songs.csv are '{cell}', which names none"):
        read_logmel(path, write(tmp_path / "songs.csv", f"track,genres\na,{cell}\n"))


def test_repeated_annotations_count_once_and_contradicting_ones_are_a_user_error(tmp_path):
    path = archive(tmp_path / "mel.npz", ["a"], ["rock"])
    table = write(tmp_path / "songs.csv", "track,artist\na,Me\na,me\n,You\n")
    assert [(item.path, item.reason) for item in read_logmel(path, table).skipped] == [
        ("songs.csv:3", "the same as row 2"),
        ("songs.csv:4", "no track"),
    ]
    with pytest.raises(UserError, match=r"rows 2 and 3 of .* about a: artist is 'Me' and 'You'"):
        read_logmel(path, write(table, "track,artist\na,Me\na,You\n"))


def test_an_empty_intersection_is_a_user_error(tmp_path):
    path = archive(tmp_path / "mel.npz", ["a"], ["rock"])
    with pytest.raises(UserError, match="none of the 1 tracks"):
        read_logmel(path, write(tmp_path / "songs.csv", "track\nz\n"))


def test_another_file_is_not_an_archive(tmp_path):
    with pytest.raises(UserError, match="not a log-mel archive"):
        read_logmel(write(tmp_path / "mel.npz", "text"))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"track": np.array(["a", "b"]), "genre": np.array(["c"])}, "names 2 tracks and 1 genres"),
        ({"track": np.array(["a"])}, "genre is not a file in the archive"),
        ({"track": np.array([{"a": 1}]), "genre": np.array(["c"])}, "not a log-mel archive"),
    ],
)
def test_an_archive_with_other_arrays_is_a_user_error(tmp_path, arrays, message):
    np.savez(tmp_path / "mel.npz", mel_u8=np.zeros((2, 4, 5), np.uint8), **arrays)
    with pytest.raises(UserError, match=message):
        read_logmel(tmp_path / "mel.npz")
