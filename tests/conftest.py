"""Small music made on the spot, configurations that write into temporary folders, and the real music where it lies."""

import atexit
import inspect
import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from matplotlib.figure import Figure
from omegaconf import DictConfig

from genre.evaluation import figures
from genre.exploration import features
from helpers import composed

RATE = 22_050
GENRES = ("blues", "jazz", "rock")
SHARED = Path(__file__).parents[2] / "shared"
FIGURES_OF_A_RUN: tuple[Callable[..., Figure], ...] = (
    figures.confusion,
    figures.genre_bars,
    figures.reliability_diagram,
    figures.cooccurrence,
    figures.grad_cam_panels,
    figures.curves,
    figures.examples,
    figures.threshold_curves,
)


def pytest_configure() -> None:
    """Compute on one thread, provide FFmpeg, let SIGINT interrupt: what a shell starts in the background ignores it."""
    torch.set_num_threads(1)
    if not shutil.which("ffmpeg"):
        provide_ffmpeg()
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def provide_ffmpeg() -> None:
    """Put the FFmpeg of imageio-ffmpeg on the path, under its usual name; without that package nothing."""
    with suppress(ImportError, RuntimeError):
        import imageio_ffmpeg

        folder = tempfile.mkdtemp(prefix="ffmpeg-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        Path(folder, "ffmpeg").symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
        os.environ["PATH"] += os.pathsep + folder


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny tensors are faster on one thread, and logging that a test changed does not reach the next."""
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(1)  # also for what several tests share, which is made before this fixture begins
    logging.getLogger().setLevel(logging.WARNING)


def blank(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """A function with the arguments of another that returns an empty figure."""
    signature = inspect.signature(draw)

    def draw_nothing(*arguments: Any, **named: Any) -> Figure:
        signature.bind(*arguments, **named)
        return Figure()

    return draw_nothing


@pytest.fixture(scope="module", autouse=True)
def blank_figures() -> Iterator[None]:
    """Do not draw the figures of a run: most tests train one, half of whose time that would take.

    The folders and files of tests that look at figures override this fixture.
    """
    with pytest.MonkeyPatch.context() as patch:
        for draw in FIGURES_OF_A_RUN:
            patch.setattr(figures, draw.__name__, blank(draw))
        patch.setattr(figures, "rasterize", lambda figure: np.full((8, 8, 3), 255, np.uint8))
        yield


@pytest.fixture(scope="session")
def compiled_librosa() -> None:
    """Tests that call librosa themselves use this: several processes run them."""
    features.import_librosa()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the real music; tests that need it skip where it is missing."""
    if not (SHARED / "data").is_dir():
        pytest.skip("the real music is not there")
    return SHARED / "data"


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache of decoded music for all tests of a session."""
    return tmp_path_factory.mktemp("cache")


def tone(genre_index: int, index: int, seconds: float) -> np.ndarray:
    """A steady chord with noise whose pitch tells the genre; (samples,) in [-1, 1]."""
    time = np.arange(round(seconds * RATE)) / RATE
    pitch = 200 * 4.0**genre_index * (1 + 0.01 * index)
    noise = np.random.default_rng(100 * genre_index + index).standard_normal(len(time))
    return 0.3 * np.sin(2 * np.pi * pitch * time) + 0.02 * noise


@pytest.fixture(scope="session")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder per genre: three genres, ten WAVs of 4 s each, told apart by their pitch."""
    root = tmp_path_factory.mktemp("music")
    for place, name in enumerate(GENRES):
        (root / name).mkdir()
        for index in range(10):
            soundfile.write(root / name / f"{name}.{index:05d}.wav", tone(place, index, 4.0), RATE, subtype="PCM_16")
    return root


@pytest.fixture
def configured(tmp_path: Path, music: Path, cache: Path) -> Callable[..., DictConfig]:
    """Compose a configuration for the small music, for one quick epoch, with any overrides."""

    def compose(*overrides: str, data: str = "folder", network: str = "cnn", config_name: str = "config") -> DictConfig:
        own = [f"data={data}", f"data.cache={cache}", f"folder={tmp_path / 'run'}", "name=test"]
        if data == "folder":
            own += [f"data.root={music}", "view.seconds=4"]
        quick = [
            "trainer.max_epochs=1",
            "trainer.precision=32-true",
            "trainer.enable_progress_bar=false",
            "trainer.enable_model_summary=false",
        ]
        small = ["model.filters=[4,4,8]", "model.dense_units=8"] if network == "cnn" else []
        return composed(*own, *quick, *small, *overrides, config_name=config_name)

    return compose
