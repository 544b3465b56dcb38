"""Files, folders, playlists and lists of these are named as input."""

import shutil

import pytest

from genre.config.compose import compose
from genre.config.settings import predict_settings
from genre.data import audio, ffmpeg
from genre.errors import SkipKind, UserError
from genre.prediction.inputs import list_inputs


@pytest.fixture
def songs(tmp_path):
    """A folder with four files whose content does not matter here."""
    folder = tmp_path / "songs"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.wav", "b, c.mp3", "deep/ä.flac", "cover.jpg"):
        (folder / name).write_bytes(b"")
    return folder


def names(paths):
    files, skipped = list_inputs(paths)
    return [file.name for file in files], [(item.path, item.kind) for item in skipped]


def test_files_and_folders_are_listed_once(songs):
    files, skipped = names([songs / "b, c.mp3", songs])
    assert files == ["b, c.mp3", "a.wav", "ä.flac"]
    assert skipped == [(str(songs / "cover.jpg"), SkipKind.NOT_AUDIO)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a.wav", ["a.wav"]),
        ("[a.wav,deep]", ["a.wav", "deep"]),
        ('[a.wav, "b, c.mp3"]', ["a.wav", "b, c.mp3"]),
        ("b, c.mp3", ["b, c.mp3"]),
        ("[live].wav", ["[live].wav"]),
        ("[live]", ["[live]"]),
        ("null", []),
    ],
)
def test_several_inputs_stand_in_brackets(songs, monkeypatch, value, expected):
    (songs / "[live]").mkdir()
    monkeypatch.chdir(songs)
    settings = predict_settings(compose(f"input={value}", "folder=x", config_name="predict"))
    assert [str(path) for path in settings.input] == expected


PLAYLISTS = {
    "list.m3u": "#EXTM3U\n#EXTINF:3,A\na.wav\n\ndeep\\ä.flac\nhttp://radio.example/live\ngone.mp3\n",
    "list.m3u8": "\ufeffa.wav\r\ndeep/ä.flac\r\nhttp://radio.example/live\r\ngone.mp3\r\n",
    "list.pls": "[playlist]\nFile1=a.wav\nTitle1=A\nfile2 = deep/ä.flac\nFile3=http://radio.example/live\n"
    "File4=gone.mp3\nNumberOfEntries=4\n",
    "old.m3u": "a.wav\ndeep/ä.flac\nhttp://radio.example/live\ngone.mp3\n",
}


@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_playlist_names_files_relative_to_itself(songs, name):
    (songs / name).write_bytes(PLAYLISTS[name].encode("latin-1" if name == "old.m3u" else "utf-8"))
    files, skipped = names([songs / name])
    assert files == ["a.wav", "ä.flac"]
    expected = [("http://radio.example/live", SkipKind.ADDRESS), (str(songs / "gone.mp3"), SkipKind.NO_SUCH_FILE)]
    assert skipped == expected


def test_a_playlist_names_absolute_files_and_addresses_of_files(songs, tmp_path):
    (tmp_path / "list.m3u").write_text(f"{songs / 'a.wav'}\n{(songs / 'b, c.mp3').as_uri()}\n{songs / 'deep'}\n")
    assert names([tmp_path / "list.m3u"]) == (["a.wav", "b, c.mp3", "ä.flac"], [])


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="FFmpeg is not installed")
def test_files_that_ffmpeg_reads_are_music_where_it_is_installed(songs):
    (songs / "song.m4a").write_bytes(b"")
    assert "song.m4a" in names([songs])[0]


def test_without_ffmpeg_they_are_skipped_with_what_to_do(songs, monkeypatch):
    monkeypatch.setattr(ffmpeg, "ffmpeg_program", lambda: None)
    monkeypatch.setattr(audio, "ffmpeg_program", lambda: None)
    (songs / "song.m4a").write_bytes(b"")
    skipped = {item.path: item.reason for item in list_inputs([songs])[1]}
    assert skipped[str(songs / "song.m4a")].startswith(".m4a needs FFmpeg, which is not installed; install it")


def test_what_is_not_there_is_a_user_error(songs):
    with pytest.raises(UserError, match="no file or folder at input="):
        list_inputs([songs, songs / "nowhere"])
