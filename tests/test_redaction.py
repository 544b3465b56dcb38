"""Passwords and tokens appear in no message, log line or file."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

import genre
from genre.errors import UserError
from genre.redaction import RedactedRecord, redacted
from genre.sweeping.record import open_record

ROOT = Path(__file__).parents[1]
SECRET = "s3cr3t"
READER = """
from genre.data.catalogue import Catalogue, read_folder

def read_urls(urls: list, root: str, hub_token: str = "") -> Catalogue:
    return read_folder(root)
"""
TEXTS = [
    ("https://me:s3cr3t@host/song.mp3", "https://me:***@host/song.mp3"),
    ("https://s3cr3t@host/song.mp3", "https://***@host/song.mp3"),
    ("postgresql://me:s3/c@r#3?t@host:5432/db", "postgresql://me:***@host:5432/db"),
    ("see https://host/x?sig=s3cr3t&n=1 now", "see https://host/x?sig=***&n=*** now"),
    ("https://host/x#access_token=s3cr3t", "https://host/x#access_token=***"),
    ("https://host/?s3cr3t==", "https://host/?***"),
    ("[https://a:s3cr3t@b/c,https://d:s3cr3t@e/f]", "[https://a:***@b/c,https://d:***@e/f]"),
    ("logger.mine.api_key=s3cr3t is wrong", "logger.mine.api_key=*** is wrong"),
    ("grid.storage='postgresql//me:s3cr3t@host'", "grid.storage=***"),
    ("grid.storage='postgresql://me:my s3cr3t@host'", "grid.storage=***"),
]
HARMLESS = [
    "https://host:8080/path/song.mp3", "/music/10:30@club/a.wav", "C:/x@y", "grid.storage=null", "me@host", "a=b?c=d",
    "grid.storage=${oc.env:GENRE_STORAGE,null}", "sqlite:////tmp/sweep.db",
]  # fmt: skip


@pytest.mark.parametrize(("text", "shown"), TEXTS)
def test_a_secret_is_masked_in_a_text_once_and_for_all(text, shown):
    assert redacted(text) == redacted(shown) == shown


@pytest.mark.parametrize("text", HARMLESS)
def test_a_text_without_a_secret_stays(text):
    assert redacted(text) == text


def test_values_of_secret_keys_are_masked_at_any_depth():
    record = {"logger": {"a": {"api_key": SECRET, "hub_token": SECRET, "tokens": 3}}, "urls": [f"ftp://a:{SECRET}@b"]}
    masked = {"logger": {"a": {"api_key": "***", "hub_token": "***", "tokens": 3}}, "urls": ["ftp://a:***@b"]}
    assert redacted(record) == masked
    assert redacted({"storage": f"postgresql:/me:{SECRET}@host", "password": None}) == {
        "storage": "***",
        "password": None,
    }


def test_errors_and_log_lines_are_masked():
    assert SECRET not in str(UserError(f"cannot fetch https://me:{SECRET}@host/x"))
    record = RedactedRecord("a", logging.INFO, "", 0, "GET %s", (f"https://host/?sig={SECRET}",), None)
    assert record.getMessage() == "GET https://host/?sig=***"


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql//me:{SECRET}@host/db",
        f"postgresql:me:{SECRET}@host/db",
        f"postgresql://me:{SECRET}",
        f"postgresql://me:{SECRET}@host:port/db",
        f"postgresql://me:x@{SECRET}@host/db",
        f"oracle://me:{SECRET}@host/db",
        f"postgresql://me:{SECRET}@127.0.0.1:1/db",
    ],
)
def test_a_wrong_storage_is_refused_without_its_password(tmp_path, address):
    with pytest.raises(UserError, match=r"grid\.storage") as refused:
        open_record(tmp_path, address)
    assert SECRET not in str(refused.value)


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """A reader of one's own that takes addresses, and overrides that give it some with secrets."""
    (tmp_path / "myreader.py").write_text(READER)
    monkeypatch.chdir(tmp_path)
    urls = f"data.urls=['https://me:{SECRET}@host/a?sig={SECRET}']"
    yield "data._target_=myreader.read_urls", f"+{urls}", f"+data.hub_token={SECRET}"
    sys.modules.pop("myreader", None)
    sys.path[:] = [entry for entry in sys.path if entry != str(tmp_path)]


def files_with(secret, folder):
    return [path for path in folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]


def test_no_file_of_a_run_has_a_secret_and_a_resumed_run_is_given_it_again(configured, reader):
    folder = genre.train(configured(*reader, "logger=[tensorboard,csv]")).folder
    assert files_with(SECRET, folder) == [] and "https://me:***@host/a?sig=***" in (folder / "hparams.yaml").read_text()
    resume = (f"resume={folder}", "trust=myreader", "trainer.max_epochs=2")
    with pytest.raises(UserError, match=r"data\.urls is recorded without its password or token; give data\.urls=… ag"):
        genre.train(genre.compose(*resume))
    again = (f"data.urls=['https://me:{SECRET}@host/a?sig={SECRET}']", f"data.hub_token={SECRET}")
    assert genre.train(genre.compose(*resume, *again)).metrics["epochs"] == 2
    assert files_with(SECRET, folder) == []
    with pytest.raises(UserError, match=r"data\.urls cannot change"):
        genre.train(genre.compose(*resume, "data.urls=['https://me:other@elsewhere/a']", again[1]))
    with pytest.raises(UserError, match=r"data\.urls of the run is recorded without its password or token"):
        genre.evaluate(
            genre.compose(f"run={folder}", "trust=myreader", f"folder={folder / 'out'}", config_name="evaluate")
        )


@pytest.mark.slow
@pytest.mark.parametrize("multirun", [[], ["-m", "seed=0,1"]], ids=["run", "multirun"])
def test_no_file_of_a_command_has_a_secret(tmp_path, reader, music, multirun):
    own = [*multirun, "data=folder", f"data.root={music}", "data.cache=cache", "view.seconds=4", "trainer=debug"]
    command = [sys.executable, ROOT / "train.py", *own, *reader, "trainer.max_epochs=1"]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert len(list(tmp_path.rglob("overrides.yaml"))) == (2 if multirun else 1)
    assert len(list(tmp_path.glob("outputs/train/*/*"))) == 1
    assert files_with(SECRET, tmp_path / "outputs") == []


@pytest.mark.parametrize("address", [f"postgresql//me:{SECRET}@host/db", f"postgresql://me:{SECRET}@127.0.0.1:1/db"])
@pytest.mark.slow
def test_no_file_of_a_sweep_has_the_password_of_its_storage(tmp_path, music, address):
    own = ["data=folder", f"data.root={music}", "data.cache=cache", "view.seconds=4", "trainer=debug", "grid=small"]
    done = subprocess.run(
        [sys.executable, ROOT / "sweep.py", *own, f"grid.storage={address}"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr.startswith("error: grid.storage"), done.stderr
    assert SECRET not in done.stdout + done.stderr and files_with(SECRET, tmp_path / "outputs") == []
