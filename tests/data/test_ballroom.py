"""Ballroom's folders become eight dances, without the known copies."""

import json
from pathlib import Path

import pytest

import genre
from genre.data.ballroom import COPIES, DANCES, read_ballroom
from genre.errors import SkipKind, UserError
from helpers import write_song

FILES = [  # folder, name, as in the archive data1.tar.gz
    ("ChaChaCha", "Albums-Cafe_Paradiso-05"),
    ("ChaChaCha", "Albums-Fire-08"),
    ("Rumba-American", "Media-103901"),
    ("Rumba-International", "Albums-AnaBelen_Veneo-03"),
    ("Rumba-International", "Albums-AnaBelen_Veneo-15"),
    ("Rumba-Misc", "Albums-Latin_Jam4-11"),
    ("Samba", "Albums-Fire-09"),
    ("Waltz", "Media-104705"),
]


def lay_out(root: Path) -> Path:
    for folder, name in FILES:
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / f"{name}.wav").write_bytes(b"")
    return root


@pytest.mark.parametrize("layout", [".", "BallroomData"])
def test_eight_dances_are_read_and_rumbas_are_one(tmp_path, layout):
    lay_out(tmp_path / layout)
    tracks = {track.name: track for track in read_ballroom(tmp_path).tracks}
    assert {name: track.genres for name, track in tracks.items()} == {
        "Albums-AnaBelen_Veneo-03": ("Rumba",),
        "Albums-Cafe_Paradiso-05": ("ChaChaCha",),
        "Albums-Fire-08": ("ChaChaCha",),
        "Albums-Latin_Jam4-11": ("Rumba",),
        "Media-103901": ("Rumba",),
        "Media-104705": ("Waltz",),
    }
    assert tracks["Media-104705"].path == tmp_path / layout / "Waltz" / "Media-104705.wav"
    albums = [tracks[name].extra["album"] for name in ("Albums-AnaBelen_Veneo-03", "Media-103901")]
    assert albums == ["AnaBelen_Veneo", ""]
    assert len(set(DANCES.values())) == 8


def test_the_second_of_each_pair_of_copies_is_skipped_if_the_first_is_there(tmp_path):
    lay_out(tmp_path)
    skipped = {Path(item.path).stem: (item.kind, item.reason) for item in read_ballroom(tmp_path).skipped}
    assert skipped == {
        "Albums-AnaBelen_Veneo-15": (SkipKind.COPY, "the same recording as Albums-AnaBelen_Veneo-03"),
        "Albums-Fire-09": (SkipKind.COPY, "the same recording as Albums-Fire-08"),
    }
    assert len(COPIES) == 13 and not COPIES.keys() & set(COPIES.values())


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("form", ["./{}/{}.wav", ".\\{}\\{}.wav"])
def test_a_listed_file_that_is_not_there_is_skipped(tmp_path, form, end):
    lay_out(tmp_path)
    listed = [form.format(*each) for each in [*FILES, ("Tango", "Albums-Tango-01")]]
    (tmp_path / "allBallroomFiles").write_bytes(end.join(entry.encode() for entry in listed))
    missing = [item for item in read_ballroom(tmp_path).skipped if item.kind is SkipKind.NO_SUCH_FILE]
    assert [(item.path, item.reason) for item in missing] == [
        ("./Tango/Albums-Tango-01.wav", "listed in allBallroomFiles, but not there")
    ]


def test_other_folders_and_files_are_skipped_with_a_reason(tmp_path):
    lay_out(tmp_path)
    for name in ("nada/a.wav", "tempo/a.bpm", "Waltz/README"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    kinds = {Path(item.path).name: item.kind for item in read_ballroom(tmp_path).skipped}
    assert kinds["nada"] is SkipKind.OUTSIDE_GENRES and kinds["README"] is SkipKind.NOT_AUDIO and "tempo" not in kinds


def test_a_folder_without_dances_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match=r"no Ballroom at .*: data.root must contain the folders ChaChaCha, Jive"):
        read_ballroom(tmp_path)


def test_a_run_learns_dances(configured, tmp_path):
    for n in range(12):
        write_song(tmp_path / ("Waltz" if n % 2 else "Tango") / f"Media-{n}.wav", seed=n)
    result = genre.train(configured(f"data.root={tmp_path}", "view.seconds=1", data="ballroom"))
    assert json.loads((result.folder / "metrics.json").read_text())["tracks"]["test"] == 2
