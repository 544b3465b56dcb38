"""The genre of a file is written into its tags; its audio and its other tags stay as they are."""

import os
import subprocess

import mutagen
import pytest
import soundfile
from mutagen.flac import FLAC
from mutagen.id3 import ID3, TCON, TXXX, TYER
from mutagen.mp4 import MP4

from genre.errors import BadAudio, SkipKind
from genre.tagging import write
from genre.tagging.read import read_tags
from genre.tagging.write import write_genres, written_genres
from helpers import write_song

SUFFIXES = [".mp3", ".flac", ".ogg", ".opus", ".m4a"]


def audio_bytes(path) -> bytes:
    """The encoded audio of a file: what follows ID3 or FLAC's metadata, Ogg's packets, MP4's mdat."""
    content = path.read_bytes()
    if path.suffix == ".mp3":
        return content[ID3(path).size :] if content.startswith(b"ID3") else content
    if path.suffix == ".flac":
        at, last = 4, False
        while not last:
            last, size = bool(content[at] & 0x80), int.from_bytes(content[at + 1 : at + 4], "big")
            at += 4 + size
        return content[at:]
    if path.suffix == ".m4a":
        at = content.index(b"mdat") - 4
        return content[at : at + int.from_bytes(content[at : at + 4], "big")]
    return b"".join(ogg_packets(path))


def ogg_packets(path) -> list[bytes]:
    """The packets of an Ogg file with audio: all but the headers, of which Vorbis has three and Opus two."""
    from mutagen.ogg import OggPage

    pages = []
    with path.open("rb") as file:
        while file.tell() < path.stat().st_size:
            pages.append(OggPage(file))
    return OggPage.to_packets(pages)[2 if path.suffix == ".opus" else 3 :]


def samples(path) -> bytes:
    """The decoded samples of a file."""
    if path.suffix == ".m4a":
        command = ["ffmpeg", "-v", "error", "-i", path, "-f", "s16le", "-"]
        return subprocess.run(command, capture_output=True, check=True).stdout
    return soundfile.read(path, dtype="int16")[0].tobytes()


@pytest.mark.parametrize("tags", [{}, {"genre": "Jazz", "artist": "Zoë", "title": "T"}], ids=["untagged", "tagged"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_several_genres_are_several_values_and_nothing_else_changes(tmp_path, suffix, tags):
    song = write_song(tmp_path / f"a{suffix}", **tags)
    before, bytes_before, samples_before = read_tags(song), audio_bytes(song), samples(song)
    write_genres(song, ["pop", "röck" * 500])
    assert written_genres(song) == ["pop", "röck" * 500]
    assert read_tags(song) == before._replace(genres=("pop", "röck" * 500))
    assert len(bytes_before) > 1000 and audio_bytes(song) == bytes_before
    assert samples(song) == samples_before
    assert [path.name for path in tmp_path.iterdir()] == [song.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_genre_removes_the_field(tmp_path, suffix):
    song = write_song(tmp_path / f"a{suffix}", genre=["Jazz", "Pop"], title="T")
    write_genres(song, [])
    assert written_genres(song) == [] and read_tags(song).title == "T"


def test_older_id3_keeps_its_version_and_its_frames(tmp_path):
    song = write_song(tmp_path / "a.mp3")
    tags = ID3()
    for frame in (TCON(encoding=0, text="(17)"), TYER(encoding=0, text="1999"), TXXX(encoding=0, desc="x", text="y")):
        tags.add(frame)
    tags.save(song, v2_version=3)
    assert written_genres(song) == ["(17)"]
    write_genres(song, ["pop", "rock"])
    changed = ID3(song, translate=False)
    assert changed.version == (2, 3, 0) and sorted(changed) == ["TCON", "TXXX:x", "TYER"]
    assert changed["TCON"].text == ["pop", "rock"]


def test_the_oldest_id3_becomes_2_3(tmp_path):
    song = write_song(tmp_path / "a.mp3")
    frames = b"TCO\0\0\x05\0(17)" + b"TT2\0\0\x02\0T"
    header = b"ID3\x02\0\0" + bytes([0, 0, 0, len(frames)])
    song.write_bytes(header + frames + song.read_bytes())
    assert written_genres(song) == ["(17)"]
    write_genres(song, ["pop"])
    assert ID3(song, translate=False).version == (2, 3, 0)
    assert read_tags(song)[::4] == (("pop",), "T")


def test_pictures_and_tags_of_one_program_only_stay(tmp_path):
    song = write_song(tmp_path / "a.flac", genre="Jazz")
    file = FLAC(song)
    picture = mutagen.flac.Picture()
    picture.data = b"picture" * 9_999
    file.add_picture(picture)
    file["MUSICBRAINZ_TRACKID"] = "x"
    file.save()
    write_genres(song, ["pop"])
    assert FLAC(song).pictures[0].data == picture.data and FLAC(song)["musicbrainz_trackid"] == ["x"]


def test_a_number_of_itunes_becomes_a_name(tmp_path):
    song = write_song(tmp_path / "a.m4a")
    write_genres(song, ["pop", "rock"])
    assert MP4(song)["\xa9gen"] == ["pop", "rock"]


def test_permissions_stay_and_a_link_stays_a_link(tmp_path):
    song = write_song(tmp_path / "a.mp3")
    song.chmod(0o640)
    (tmp_path / "link.mp3").symlink_to("a.mp3")
    write_genres(tmp_path / "link.mp3", ["pop"])
    assert (tmp_path / "link.mp3").is_symlink() and written_genres(song) == ["pop"]
    assert song.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_file_that_cannot_be_replaced_stays_as_it_was(tmp_path, monkeypatch, failing):
    song = write_song(tmp_path / "a.mp3", genre="Jazz")
    content = song.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write.os, failing, fail)
    with pytest.raises(BadAudio, match=r"not written: .*No space left"):
        write_genres(song, ["pop"])
    assert song.read_bytes() == content and os.listdir(tmp_path) == ["a.mp3"]


def test_a_read_only_file_is_not_replaced(tmp_path, monkeypatch):
    song = write_song(tmp_path / "a.mp3")
    monkeypatch.setattr(write.os, "access", lambda path, mode: False)  # root may write any file
    with pytest.raises(BadAudio, match="read-only"):
        write_genres(song, ["pop"])
    assert os.listdir(tmp_path) == ["a.mp3"]


@pytest.mark.parametrize("name", ["a.wav", "a.aiff", "a.au"])
def test_other_kinds_of_files_are_not_written(tmp_path, name):
    song = write_song(tmp_path / name)
    with pytest.raises(BadAudio) as error:
        written_genres(song)
    assert error.value.reason == (SkipKind.OTHER_FORMAT, f"tags of {song.suffix} are not written")


def test_a_damaged_file_has_a_reason(tmp_path):
    (tmp_path / "a.mp3").write_bytes(b"ID3" + b"\0" * 50)
    with pytest.raises(BadAudio, match="unreadable tags"):
        written_genres(tmp_path / "a.mp3")
