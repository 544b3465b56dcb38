"""GTZAN is found in each of its usual layouts."""

import re
from pathlib import Path

import pytest
from torchaudio.datasets import gtzan as torchaudio_lists

from genre.data.gtzan import GENRES, fault_filtered, read_gtzan
from genre.errors import UserError


def lay_out(folder: Path, suffix: str) -> None:
    for name in ("blues", "jazz"):
        (folder / name).mkdir(parents=True)
        (folder / name / f"{name}.00000{suffix}").write_bytes(b"")
        (folder / name / f"._{name}.00000{suffix}").write_bytes(b"")


@pytest.mark.parametrize("layout", [".", "genres", "genres_original", "Data/genres_original"])
@pytest.mark.parametrize("suffix", [".wav", ".au"])
def test_any_layout_is_found_and_resource_forks_are_skipped(tmp_path, layout, suffix):
    lay_out(tmp_path / layout, suffix)
    catalogue = read_gtzan(tmp_path)
    assert [(track.name, track.genres) for track in catalogue.tracks] == [
        ("blues.00000", ("blues",)),
        ("jazz.00000", ("jazz",)),
    ]
    assert [item.reason for item in catalogue.skipped] == ["hidden file (macOS resource fork)"] * 2


def test_without_gtzan_the_message_names_the_remedies(tmp_path):
    with pytest.raises(UserError, match=r"data\.root or GENRE_GTZAN.*data=folder.*data=synthetic"):
        read_gtzan(tmp_path)


def test_what_is_beside_the_genres_is_skipped_with_a_remedy(tmp_path):
    lay_out(tmp_path, ".wav")
    (tmp_path / "polka" / "album").mkdir(parents=True)
    (tmp_path / "images").mkdir()
    for name in ("polka/album/a.wav", "images/a.png", "loose.mp3", "readme.txt"):
        (tmp_path / name).write_bytes(b"")
    reasons = {
        Path(item.path).name: item.reason for item in read_gtzan(tmp_path).skipped if "hidden" not in item.reason
    }
    assert reasons == {
        "polka": "not a folder of GTZAN's genres; data=folder reads folders of any name",
        "loose.mp3": "outside the genre folders; move each into the folder of its genre",
    }


@pytest.mark.parametrize(
    ("file", "found"),
    [
        ("rumba/a.wav", "1 folder of another name than GTZAN's genres (data=folder reads"),
        ("genres/jazz/a.m4a", "1 in a format that is not read (convert them"),
        ("a.wav", "1 outside the genre folders"),
    ],
)
def test_without_gtzan_the_message_tells_what_was_found_instead(tmp_path, file, found):
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_bytes(b"")
    with pytest.raises(UserError, match=re.escape(f"; found {found}")):
        read_gtzan(tmp_path)


def test_a_catalogue_adds_the_artists(tmp_path):
    lay_out(tmp_path, ".wav")
    (tmp_path / "tracks.csv").write_text("track,genres,artist\nblues.00000,blues,John Lee Hooker\n")
    (track,) = read_gtzan(tmp_path, tmp_path / "tracks.csv").tracks
    assert track.artist == "John Lee Hooker"


def test_the_fault_filtered_lists_equal_torchaudios():
    lists = {
        "train": torchaudio_lists.filtered_train,
        "val": torchaudio_lists.filtered_valid,
        "test": torchaudio_lists.filtered_test,
    }
    assert fault_filtered() == {name: subset for subset, names in lists.items() for name in names}
    assert [len(names) for names in lists.values()] == [443, 197, 290]


def test_the_real_excerpts_are_100_tracks_of_ten_genres(shared):
    catalogue = read_gtzan(shared / "gtzan_mini", shared / "gtzan_tracks.csv")
    assert len(catalogue.tracks) == 100
    assert catalogue.genres == list(GENRES)
