"""The tags of every kind of file are read alike."""

import mutagen
import pytest
from mutagen.asf import ASFTags
from mutagen.id3 import ID3, TCON
from mutagen.mp3 import MP3

from genre.errors import BadAudio, SkipKind
from genre.tagging import read
from genre.tagging.read import Tags, read_tags
from helpers import write_song


@pytest.mark.parametrize("suffix", [".mp3", ".flac", ".ogg", ".opus", ".m4a", ".wav", ".aiff"])
def test_genres_artist_album_year_and_title_are_read(tmp_path, suffix):
    tags = {"genre": ["Hip-Hop/Rap", "Soul"], "artist": ["Zoë", "Guest"], "album": "A", "date": "2003-05-01"}
    song = write_song(tmp_path / f"a{suffix}", **tags, title="T")
    assert read_tags(song) == Tags(("Hip-Hop/Rap", "Soul"), "Zoë", "A", "2003", "T")


def test_windows_media_tags_are_read(tmp_path, monkeypatch):
    tags = ASFTags()
    for name, value in {"WM/Genre": "Jazz", "Author": "Zoë", "WM/AlbumTitle": "A", "WM/Year": "1999"}.items():
        tags[name] = value
    (tmp_path / "a.wma").write_bytes(b"")
    monkeypatch.setattr(read.mutagen, "File", lambda path: type("ASF", (), {"tags": tags}))  # nothing here writes WMA
    assert read_tags(tmp_path / "a.wma") == Tags(("Jazz",), "Zoë", "A", "1999", "")


@pytest.mark.parametrize(
    ("written", "genres"),
    [
        (["(17)"], ("Rock",)),
        (["17"], ("Rock",)),
        (["(7)(17)"], ("Hip-Hop", "Rock")),
        (["(4)Italo"], ("Disco", "Italo")),
    ],
)
def test_numbers_of_id3v1_are_names(tmp_path, written, genres):
    song = write_song(tmp_path / "a.mp3")
    tags = ID3()
    tags.add(TCON(encoding=0, text=written))
    tags.save(song, v2_version=3)
    assert read_tags(song).genres == genres


def test_a_tag_of_id3v1_alone_is_read(tmp_path):
    song = write_song(tmp_path / "a.mp3", genre="Reggae", title="T")
    file = MP3(song)
    file.save(v1=2)
    file.tags.delete(song, delete_v1=False)
    assert read_tags(song)[::4] == (("Reggae",), "T")


def test_a_file_without_tags_has_empty_ones(tmp_path):
    assert read_tags(write_song(tmp_path / "a.mp3")) == Tags()
    assert read_tags(write_song(tmp_path / "a.au")) == Tags()
    assert mutagen.File(write_song(tmp_path / "a.flac", genre="")).tags["genre"] == [""]
    assert read_tags(tmp_path / "a.flac") == Tags()


@pytest.mark.parametrize(
    "content", [b"", b"ID3\x04\x00\x00\x00\x00\x00\x7f", b"fLaC\x00\x00\x00\xff", b"no music" * 99]
)
@pytest.mark.parametrize("suffix", [".mp3", ".flac", ".m4a", ".ogg"])
def test_damaged_files_have_a_reason_or_no_tags(tmp_path, content, suffix):
    (tmp_path / f"a{suffix}").write_bytes(content)
    try:
        assert read_tags(tmp_path / f"a{suffix}") == Tags()
    except BadAudio as bad:
        assert bad.reason.kind is SkipKind.UNREADABLE and bad.reason.text.startswith("unreadable tags: ")


def test_a_file_that_cannot_be_opened_may_be_read_later(tmp_path):
    with pytest.raises(BadAudio) as error:
        read_tags(tmp_path / "gone.mp3")
    assert error.value.reason == (SkipKind.NOT_READ, "unreadable: No such file or directory")
