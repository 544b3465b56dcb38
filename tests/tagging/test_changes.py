"""Changes of tags are shown first, recorded before they are made, and can be taken back."""

import pytest

from genre.errors import BadAudio, SkipKind, UserError
from genre.files import read_csv_records
from genre.tagging import changes
from genre.tagging.changes import write_tags
from genre.tagging.undo import undo_tags
from genre.tagging.write import write_genres, written_genres
from helpers import write_song


@pytest.fixture
def songs(tmp_path):
    """An untagged song, one with genres, one with a blank genre, a WAV and no music at all."""
    untagged, tagged = write_song(tmp_path / "a.mp3"), write_song(tmp_path / "b.flac", genre=["Jazz; Pop", '"x"'])
    blank, wav = write_song(tmp_path / "c.ogg", genre=" "), write_song(tmp_path / "d.wav")
    (tmp_path / "e.mp3").write_bytes(b"no music")
    return {file.name: file for file in (untagged, tagged, blank, wav, tmp_path / "e.mp3")}


def all_get(songs, *genres):
    """The same prediction for all songs."""
    return {file: list(genres) for file in songs.values()}


def test_a_dry_run_is_the_default_and_shows_what_would_change(songs, tmp_path, caplog, capsys):
    caplog.set_level("INFO")
    contents = {file: file.read_bytes() for file in songs.values()}
    made = write_tags(tmp_path / "out", all_get(songs, "rock", "pop"))
    assert {change.path.name: change.unchanged for change in made} == {
        "a.mp3": "",
        "b.flac": "has a genre (overwrite=true replaces it)",
        "c.ogg": "",
        "d.wav": "tags of .wav are not written",
        "e.mp3": made[-1].unchanged,
    }
    assert made[-1].unchanged.startswith(("unreadable tags", "tags of .mp3"))
    assert {file: file.read_bytes() for file in songs.values()} == contents
    shown = capsys.readouterr().out
    assert "a.mp3" in shown and "rock; pop" in shown and "b.flac" not in shown
    assert "the genre would be written to 2 of 5 files" in caplog.text and "dry_run=false writes it" in caplog.text


def test_genres_are_written_and_the_other_files_stay(songs, tmp_path, caplog):
    caplog.set_level("INFO")
    write_tags(tmp_path / "out", all_get(songs, "rock", "pop"), dry_run=False)
    assert written_genres(songs["a.mp3"]) == written_genres(songs["c.ogg"]) == ["rock", "pop"]
    assert written_genres(songs["b.flac"]) == ["Jazz; Pop", '"x"']
    assert "wrote the genre of 2 of 5 files" in caplog.text


def test_a_genre_is_replaced_if_that_is_asked_for(songs, tmp_path):
    write_tags(tmp_path / "out", {songs["b.flac"]: ["rock"]}, overwrite=True, dry_run=False)
    assert written_genres(songs["b.flac"]) == ["rock"]


def test_uncertain_predictions_are_not_written(songs, tmp_path):
    (change,) = write_tags(tmp_path / "out", {songs["a.mp3"]: []}, overwrite=True, dry_run=False)
    assert change.unchanged == "the prediction is uncertain" and written_genres(songs["a.mp3"]) == []


def test_changes_are_recorded_before_they_are_made(songs, tmp_path, monkeypatch):
    rows = []

    def interrupted(path, genres):
        rows.extend(read_csv_records(tmp_path / "out" / "tags.csv"))
        raise KeyboardInterrupt

    monkeypatch.setattr(changes, "write_genres", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_tags(tmp_path / "out", {songs["b.flac"]: ["rock"]}, overwrite=True, dry_run=False)
    assert rows == [
        {
            "path": str(songs["b.flac"]),
            "before": '["Jazz; Pop", "\\"x\\""]',
            "after": '["rock"]',
            "unchanged": "",
        }
    ]


def test_undoing_restores_the_genres_and_their_absence(songs, tmp_path, caplog):
    caplog.set_level("INFO")
    before = {name: written_genres(songs[name]) for name in ("a.mp3", "b.flac", "c.ogg")}
    write_tags(tmp_path / "out", all_get(songs, "rock", "pop"), overwrite=True, dry_run=False)
    undo_tags(tmp_path / "out" / "tags.csv")
    assert {name: written_genres(songs[name]) for name in before} == before
    assert before["a.mp3"] == [] and before["c.ogg"] == [" "]
    assert "restored the genre of 3 of 3 files" in caplog.text


def test_undoing_leaves_what_was_changed_since_was_not_written_or_is_gone(songs, tmp_path):
    for name in ("b.flac", "c.ogg"):
        write_genres(songs[name], ["Jazz"])
    write_tags(tmp_path / "out", all_get(songs, "rock"), overwrite=True)
    write_genres(songs["b.flac"], ["by hand"])
    songs["a.mp3"].unlink()
    undone = {change.path.name: change.unchanged for change in undo_tags(tmp_path / "out" / "tags.csv")}
    assert undone.pop("a.mp3").startswith("unreadable tags")
    assert undone == {"b.flac": "was changed since", "c.ogg": "was not written"}
    assert written_genres(songs["b.flac"]) == ["by hand"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no file undo=.*tags.csv; give the tags.csv"),
        ("path,genres\na,b\n", "undo=.*tags.csv is not a tags.csv"),
        ("path,before,after,unchanged\na.mp3,rock,[],\n", "undo=.*tags.csv is damaged"),
    ],
)
def test_another_file_cannot_be_undone(tmp_path, text, message):
    if text is not None:
        (tmp_path / "tags.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        undo_tags(tmp_path / "tags.csv")


def test_a_file_that_cannot_be_written_is_named_and_the_others_are(songs, tmp_path, monkeypatch, caplog):
    usual = changes.write_genres

    def refuse(path, genres):
        if path.name == "a.mp3":
            raise BadAudio(SkipKind.NOT_WRITTEN, "read-only")
        usual(path, genres)

    monkeypatch.setattr(changes, "write_genres", refuse)
    made = write_tags(tmp_path / "out", {songs[name]: ["rock"] for name in ("a.mp3", "c.ogg")}, dry_run=False)
    assert [change.unchanged for change in made] == ["not written", ""]
    assert "a.mp3: read-only" in caplog.text and written_genres(songs["c.ogg"]) == ["rock"]
