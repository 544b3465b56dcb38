"""The wheel trains, predicts and composes its configuration in an environment that has no checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TINY = ["data=synthetic", "data.tracks=4", "data.seconds=2", "trainer.max_epochs=1", "model.filters=[4,4,8]"]


def run(folder: Path, *command: str | Path) -> str:
    """Run a command in a folder, with the caches below it, and return what it prints."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment |= {"XDG_CACHE_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new environment with the wheel, whose dependencies are those of this one."""
    folder = tmp_path_factory.mktemp("package")
    source, environment = folder / "source", folder / "environment"
    for name in ("genre", "conf"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    run(folder, *pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source)
    run(folder, sys.executable, "-m", "venv", "--without-pip", environment)
    python = environment / "bin" / "python"
    run(folder, *pip, "--python", python, "install", "--no-deps", *folder.glob("*.whl"))
    own = run(folder, python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    Path(own, "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    shutil.rmtree(source)
    return python.parent


@pytest.mark.slow
def test_the_wheel_is_imported_from_its_environment_and_not_from_the_checkout(installed, tmp_path):
    file, *path = run(
        tmp_path, installed / "python", "-c", "import genre, sys; print(genre.__file__, *sys.path, sep='\\n')"
    ).split("\n")
    assert Path(file).is_relative_to(installed.parent)
    assert str(ROOT) not in path


@pytest.mark.slow
def test_the_commands_train_and_predict_in_an_empty_folder(installed, tmp_path):
    trained = run(tmp_path, installed / "genre-train", *TINY).splitlines()[-1]
    assert (tmp_path / trained / "metrics.json").is_file() and (tmp_path / trained / "train.log").is_file()
    song = next((tmp_path / "cache").rglob("*.wav"))
    predicted = run(tmp_path, installed / "genre-predict", f"run={trained}", f"input={song}").splitlines()[-1]
    assert song.stem in (tmp_path / predicted / "predictions.csv").read_text()


@pytest.mark.slow
def test_the_package_trains_from_python(installed, tmp_path):
    code = f"import genre; print(genre.train(genre.compose(*{TINY}, 'folder=mine', 'name=mine')).folder)"
    run(tmp_path, installed / "python", "-c", code)
    assert (tmp_path / "mine" / "metrics.json").is_file()


@pytest.mark.slow
def test_the_page_travels_in_the_wheel(installed, tmp_path):
    assert "python -m genre.demo" in run(tmp_path, installed / "genre-demo", "--help")
    code = "from genre.demo.app import FILES; from importlib.resources import files\n"
    code += "for name, _ in FILES.values(): print(len(files('genre.demo').joinpath(name).read_text()))"
    assert len(run(tmp_path, installed / "python", "-c", code).split()) == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["train", "prepare", "evaluate", "predict", "explore", "sweep", "curve", "cut"])
def test_every_command_is_installed(installed, tmp_path, name):
    assert f"python {name}.py" in run(tmp_path, installed / f"genre-{name}", "--help")


@pytest.mark.slow
def test_the_export_is_installed(installed, tmp_path):
    assert "python -m genre.export" in run(tmp_path, installed / "genre-export", "--help")
