"""A run is exported to one file with a model card, and the file is used like the run, or without this program."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
import torch

import genre
from genre.errors import UserError
from genre.exporting.export import export
from genre.prediction import exported as exported_files
from genre.prediction.exported import ExportMetadata
from helpers import csv_rows

ROOT = Path(__file__).parents[2]


def clip(path):
    """A file's samples, (1, samples) in [-1, 1]."""
    return torch.from_numpy(soundfile.read(path, dtype="float32")[0])[None]


def export_run(folder, *overrides):
    return export(genre.compose(f"folder={folder}", *overrides, config_name="export"))


@pytest.fixture(scope="session")
def file(run, tmp_path_factory):
    """The run as an ONNX file."""
    folder = tmp_path_factory.mktemp("export")
    return export_run(folder, f"run={run.folder}", f"output={folder / 'mine, & more=é.onnx'}").path


@pytest.fixture(scope="session")
def bundled(tmp_path_factory):
    """The model that comes with the program as an ONNX file."""
    return export_run(tmp_path_factory.mktemp("bundled")).path


def in_a_new_process(code, *arguments, **environment):
    """What Python prints for a piece of code in a process of its own."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_file_is_used_like_its_run(run, file, music):
    model, loaded = genre.load(run.folder), genre.load(file)
    waveform = clip(music / "rock" / "rock.00003.wav")
    probabilities = loaded(waveform)
    torch.testing.assert_close(probabilities, model(waveform), atol=1e-5, rtol=0)
    torch.testing.assert_close(loaded.over_time(waveform[0]), model.over_time(waveform[0]), atol=1e-5, rtol=0)
    assert (loaded.genres, loaded.sample_rate, loaded.seconds) == (model.genres, model.sample_rate, model.seconds)
    assert loaded.device == torch.device("cpu") and loaded.to(torch.device("cpu")) is loaded
    for values in torch.rand(50, len(model.genres), generator=torch.Generator().manual_seed(0)).tolist():
        assert loaded.predicted_genres(values) == model.predicted_genres(values)
        assert loaded.is_uncertain(values) == model.is_uncertain(values)


@pytest.mark.slow
def test_an_array_gives_an_array(file, music):
    waveform = clip(music / "rock" / "rock.00003.wav")
    loaded = genre.load(file)
    array = loaded(waveform.numpy())
    assert isinstance(array, np.ndarray)
    np.testing.assert_array_equal(array, loaded(waveform).numpy())


@pytest.mark.slow
def test_predict_writes_the_same_for_a_file_as_for_its_run(run, file, music, tmp_path):
    tables = []
    for place, source in enumerate((run.folder, file)):
        own = [f"run={source}", f"input={music / 'jazz'}", f"folder={tmp_path / str(place)}", "timeline=true"]
        tables.append(csv_rows(genre.predict(genre.compose(*own, config_name="predict")).folder / "predictions.csv"))
    for one, other in zip(*tables, strict=True):
        one.pop("seen")  # a file has no list of tracks
        assert one.keys() == other.keys() and one["predicted"] == other["predicted"]
        assert [float(one[name]) for name in run_genres(file)] == pytest.approx(
            [float(other[name]) for name in run_genres(file)], abs=1e-5
        )


@pytest.mark.slow
def test_a_file_has_no_features_to_compare_music_by(file, music, tmp_path):
    own = [f"run={file}", f"input={music / 'jazz'}", f"folder={tmp_path}", "neighbours=2"]
    with pytest.raises(UserError, match="neighbours=2: music is compared by features of the network"):
        genre.predict(genre.compose(*own, config_name="predict"))
    assert genre.load(file).predict(music / "rock" / "rock.00003.wav").features is None


def run_genres(file):
    return genre.load(file).genres


@pytest.mark.slow
def test_the_card_has_the_figures_and_the_recipe_of_the_run(run, file):
    text = file.with_suffix(".md").read_text(encoding="utf-8")
    metrics = json.loads((run.folder / "metrics.json").read_text())
    assert f"| accuracy | {metrics['test/accuracy']:.3f} |" in text
    assert "blues, jazz, rock" in text and "22050 Hz" in text and "4 evenly spaced windows of 1 s" in text
    assert "_target_: genre.models.cnn.CNN" in text and str(run.folder.parent) not in text


@pytest.mark.slow
def test_the_card_of_the_bundled_model_states_its_data_and_licence(bundled):
    text = bundled.with_suffix(".md").read_text(encoding="utf-8")
    assert "709 tracks of GTZAN" in text and "ISC for musicnn" in text and "accuracy 73.1 %" in text
    assert "](" not in text


@pytest.mark.slow
def test_a_program_for_pytorch_carries_the_same_metadata(run, file, tmp_path, music):
    files = {"genre.json": ""}
    result = export_run(tmp_path, f"run={run.folder}", "format=torch")
    program = torch.export.load(result.path, extra_files=files)
    texts = genre.load(file).session.get_modelmeta().custom_metadata_map
    assert json.loads(files["genre.json"]) == {name: json.loads(text) for name, text in texts.items()}
    waveform = clip(music / "rock" / "rock.00003.wav")
    torch.testing.assert_close(program.module()(waveform), genre.load(run.folder)(waveform), atol=1e-5, rtol=0)


@pytest.mark.slow
def test_a_file_is_opened_without_pytorch_and_lightning(file):
    code = (
        "import sys, time; start = time.perf_counter(); import genre; model = genre.load(sys.argv[1]); "
        "print(time.perf_counter() - start, *sys.modules, sep='\\n')"
    )
    seconds, *modules = in_a_new_process(code, file).split("\n")
    assert not {"torch", "lightning", "hydra"} & set(modules)
    assert float(seconds) < 2


@pytest.mark.slow
def test_predict_with_a_file_imports_neither_lightning_nor_the_code_of_training(file, music, tmp_path):
    code = (
        "import sys, genre; from genre.commands import predict_command; predict_command(); "
        "print(*sys.modules, sep='\\n')"
    )
    song = music / "rock" / "rock.00003.wav"
    shown = in_a_new_process(code, f"run={file}", f"input={song}", f"hydra.run.dir={tmp_path / 'predicted'}")
    modules = set(shown.split("\n"))
    assert (tmp_path / "predicted" / "predictions.csv").is_file()
    assert (
        not {"lightning", "torchmetrics", "genre.training.train", "genre.config.build", "genre.models.classifier"}
        & modules
    )


@pytest.fixture
def example():
    """The first example of docs/export.md, with numpy, soundfile and onnxruntime alone."""
    return (ROOT / "docs" / "export.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]


BLOCKED = """
import sys


class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "genre", "lightning", "onnx", "onnxscript"):
            raise ImportError(f"{name} is not there")


sys.meta_path.insert(0, Blocked())
"""


@pytest.mark.slow
def test_the_example_runs_where_neither_pytorch_nor_this_program_is(example, run, file, music, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(BLOCKED)
    song = music / "rock" / "rock.00003.wav"
    shown = in_a_new_process(example, file, song, PYTHONPATH=str(tmp_path)).splitlines()
    model = genre.load(run.folder)
    ranked = sorted(zip(model(clip(song))[0].tolist(), model.genres, strict=True), reverse=True)
    assert shown == [f"{name} {value:.0%}" for value, name in ranked]


@pytest.mark.slow
def test_the_bundled_model_equals_its_file_on_real_music(bundled, shared):
    songs = sorted((shared / "gtzan_mini").rglob("*.wav"))[::25]
    assert max(differences_on(songs, bundled)) < 1e-4


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_bundled_model_equals_its_file_on_a_hundred_real_excerpts(bundled, shared):
    songs = sorted((shared / "gtzan_mini").rglob("*.wav"))
    assert len(songs) == 100
    differences = differences_on(songs, bundled)
    assert sum(value > 1e-4 for value in differences) <= 2  # where a value of 256 levels is rounded to the next one
    assert max(differences) < 3e-4


def differences_on(songs, file):
    """The largest difference of a probability between PyTorch and ONNX Runtime, per song."""
    model, loaded = genre.load(), genre.load(file)
    return [float((loaded(waveform) - model(waveform)).abs().max()) for waveform in map(clip, songs)]


def test_a_missing_package_is_a_user_error_that_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match=r'onnxscript is not installed.*pip install "genre\[export\]"'):
        export_run(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match="onnxruntime is not installed"):
        genre.load(tmp_path / "model.onnx")


def test_an_output_of_another_format_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match=r"must end in \.pt2 with format=torch"):
        export_run(tmp_path, "format=torch", f"output={tmp_path / 'model.onnx'}")


def test_a_missing_file_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="there is no file"):
        genre.load(tmp_path / "model.onnx")


def test_a_file_that_is_no_model_is_a_user_error(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"text")
    with pytest.raises(UserError, match="cannot be opened"):
        genre.load(tmp_path / "model.onnx")


def test_metadata_of_another_version_or_program_is_a_user_error():
    with pytest.raises(UserError, match="has format 99"):
        exported_files.ExportMetadata.from_texts({"format_version": "99"}, "x.onnx")
    with pytest.raises(UserError, match=r"was not written by genre\.export"):
        exported_files.ExportMetadata.from_texts({}, "x.onnx")


def test_metadata_of_a_file_from_before_there_were_distances_is_read():
    texts = ExportMetadata(
        ("a", "b"), "multiclass", None, None, 0.5, 22_050, 1.0, (0.5,), (), False, "genre 0", uncertain_beyond=0.7
    ).texts()
    assert ExportMetadata.from_texts(texts, "x.onnx").uncertain_beyond == 0.7
    assert ExportMetadata.from_texts({k: v for k, v in texts.items() if k != "uncertain_beyond"}, "").uncertain_below


@pytest.mark.slow
def test_a_file_from_before_there_were_distances_is_used_as_before(bundled, music, tmp_path):
    model = onnx.load(bundled)
    del model.graph.output[1]
    kept = [each for each in model.metadata_props if each.key != "uncertain_beyond"]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    onnx.save(model, tmp_path / "before.onnx")
    song, before, now = music / "rock" / "rock.00003.wav", genre.load(tmp_path / "before.onnx"), genre.load(bundled)
    answer = before.predict(song)
    assert answer.distance is None and answer.probabilities == pytest.approx(now.predict(song).probabilities, abs=1e-6)
    assert answer.uncertain is before.is_uncertain(answer.probabilities)


@pytest.mark.slow
def test_the_bundled_model_and_its_file_agree_on_what_is_foreign(bundled):
    model, loaded = genre.load(), genre.load(bundled)
    noise = 0.1 * np.random.default_rng(0).standard_normal(10 * model.sample_rate).astype(np.float32)
    one, other = (each.predict(noise, each.sample_rate) for each in (model, loaded))
    assert one.uncertain and other.uncertain and other.distance == pytest.approx(one.distance, abs=1e-3)
    assert "or the distance above" in bundled.with_suffix(".md").read_text(encoding="utf-8")
