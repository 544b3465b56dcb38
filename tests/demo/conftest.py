"""A small run, and the page that shows it."""

import tempfile

import pytest
from starlette.testclient import TestClient

import genre
from genre.demo.analysis import Candidate
from genre.demo.app import build_app
from genre.exporting.export import export


@pytest.fixture(scope="session")
def candidate(tmp_path_factory, music, cache):
    """A network with convolutions and a view of 1 s; no test changes it."""
    folder = tmp_path_factory.mktemp("demo") / "run"
    run = genre.train(
        genre.compose(
            "data=folder", f"data.root={music}", f"data.cache={cache}", f"folder={folder}", "name=test",
            "view.seconds=1", "trainer.max_epochs=1", "trainer.precision=32-true",
            "trainer.enable_progress_bar=false", "model.filters=[4,4,8]", "model.dense_units=8",
        )
    )  # fmt: skip
    return Candidate("mine", genre.load(run.folder))


@pytest.fixture(scope="session")
def bundled():
    """The classifier that comes along, which has no maps for Grad-CAM."""
    return Candidate("bundled", genre.load())


@pytest.fixture(scope="session")
def onnx_file(candidate, tmp_path_factory):
    """The small run as genre.export writes it."""
    folder = tmp_path_factory.mktemp("exported")
    own = [f"run={candidate.model.folder}", f"output={folder / 'mine.onnx'}", f"folder={folder}"]
    return export(genre.compose(*own, config_name="export")).path


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder of temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def app(candidate, temporary):
    """The page with one model; up to 1 MB and 10 s."""
    return build_app([candidate], "127.0.0.1", 1, 10)


@pytest.fixture
def client(app):
    """Someone in a browser on this machine."""
    return TestClient(app, base_url="http://localhost:7860", raise_server_exceptions=False)


@pytest.fixture
def song(music):
    """4 s, as a WAV."""
    return (music / "rock" / "rock.00003.wav").read_bytes()
