"""Runs with published networks: trained, resumed, swept, evaluated, predicted with and exported."""

import shutil

import numpy as np
import pytest
import torch
from torch import Tensor

import genre
from genre.config.settings import train_settings
from genre.errors import UserError
from genre.exporting.export import export
from genre.models.pretrained import portable
from genre.sweeping.heads import family_of, train_family
from genre.sweeping.trial import TrialData, train_point
from helpers import opened_data
from small_networks import AUDIO, RATES, write_network, write_onnx, write_timm

KINDS = ["onnx", *(pytest.param(kind, marks=pytest.mark.slow) for kind in (*AUDIO, "image"))]
EXPORTED = ["onnx", *(pytest.param(kind, marks=pytest.mark.slow) for kind in (*AUDIO, "image"))]


@pytest.fixture(scope="session")
def network(tmp_path_factory):
    """The overrides that choose a small network of each kind."""
    known: dict[str, list[str]] = {}

    def overrides(kind: str) -> list[str]:
        if kind not in known:
            folder = tmp_path_factory.mktemp(kind) / "a network (small)"
            if kind == "image":
                file = write_timm(folder.with_suffix(".safetensors"))
                known[kind] = ["model=image", "model.name=resnet10t.c3_in1k", f"model.weights={file}"]
                known[kind] += ["spectrogram.size=32", "view=segments", "augment=none"]
            else:
                path = write_onnx(folder.with_suffix(".onnx")) if kind == "onnx" else write_network(kind, folder)
                known[kind] = ["model=audio", f"model.name={path}"]
                known[kind] += [f"spectrogram.sample_rate={RATES.get(kind, 16_000)}"]
        return [*known[kind], "view.seconds=2", "view.crops=2", "model.dense_units=8", "model.cached_views=2"]

    return overrides


@pytest.fixture
def compose(configured, network):
    """Compose for a network of a kind."""

    def make(kind, *overrides):
        return configured(*network(kind), *overrides, network="published")

    return make


def logits_of(data, subset="test") -> Tensor:
    """The logits of a data module's own network."""
    with torch.inference_mode():
        batches = (data.fetch(index).inputs.flatten(0, 1) for index in data.batches(subset))
        return torch.cat([data.backbone.eval()(inputs) for inputs in batches])


@pytest.mark.parametrize("kind", KINDS)
def test_kept_features_equal_live_ones(compose, kind):
    kept, live = opened_data(compose(kind)), opened_data(compose(kind, "model.cached_views=0"))
    live.backbone.load_state_dict(kept.backbone.state_dict())
    assert kept.eval_store.stage == "features" and live.eval_store.stage in ("waveform", "picture")
    torch.testing.assert_close(logits_of(kept), logits_of(live), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_is_trained_evaluated_and_predicts_without_its_published_files(compose, tmp_path, music, kind):
    cfg = compose(kind)
    published = tmp_path / "moved" / "network"
    given = cfg.model.weights if kind == "image" else cfg.model.name
    published.parent.mkdir()
    moved = shutil.copytree(given, published) if kind in AUDIO else shutil.copy(given, published.parent)
    cfg.model["weights" if kind == "image" else "name"] = str(moved)
    run = genre.train(cfg)
    shutil.rmtree(published.parent)
    evaluated = genre.evaluate(genre.compose(f"run={run.folder}", f"folder={tmp_path / 'e'}", config_name="evaluate"))
    assert evaluated.metrics["test/loss"] == pytest.approx(run.metrics["test/loss"], rel=1e-4)
    model = genre.load(run.folder)
    assert model.sample_rate == cfg.spectrogram.sample_rate
    prediction = model.predict(sorted(music.rglob("*.wav"))[0])
    assert sum(prediction.probabilities) == pytest.approx(1, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "learning"),
    [
        ("onnx", []), ("hubert", []), ("hubert", ["model.unfreeze=1"]), ("hubert", ["model.lora=2"]), ("image", []),
        ("image", ["model.unfreeze=1"]),
    ],
)  # fmt: skip
def test_a_resumed_run_has_the_history_of_an_unbroken_one(compose, network, tmp_path, kind, learning):
    unbroken = genre.train(compose(kind, *learning, "trainer.max_epochs=2", f"folder={tmp_path / 'unbroken'}"))
    broken = genre.train(compose(kind, *learning, f"folder={tmp_path / 'broken'}"))
    genre.train(genre.compose(f"resume={broken.folder}", "trainer.max_epochs=2"))
    rows = [(folder / "history.csv").read_text().splitlines() for folder in (unbroken.folder, broken.folder)]
    assert len(rows[0]) == 3 and rows[0] == rows[1]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ast", "clap", "image"])
def test_fine_tuning_changes_the_network_and_not_the_frozen_part(compose, kind):
    learning = ["model.unfreeze=1", "model.unfreeze_lr=0.01"]
    run = genre.train(compose(kind, *learning))
    before = opened_data(compose(kind)).backbone.state_dict()
    after = genre.load(run.folder).network.state_dict()
    names = [name for name, value in before.items() if name.startswith("backbone") and value.is_floating_point()]
    changed = [name for name in names if not torch.equal(before[name], after[name])]
    assert changed and len(changed) < len(names)
    last = torch.load(run.folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert len(last) < len(after)


@pytest.mark.slow
def test_low_rank_changes_travel_in_the_checkpoint(compose):
    run = genre.train(compose("hubert", "model.lora=2", "model.unfreeze_lr=0.01"))
    changes = [value for name, value in genre.load(run.folder).network.named_parameters() if name.endswith(".up")]
    assert changes and all(value.abs().sum() > 0 for value in changes)


@pytest.mark.parametrize("kind", KINDS)
def test_heads_of_one_pass_have_the_results_that_they_have_alone(compose, kind):
    points = [
        train_settings(compose(kind, f"optimizer.lr={lr}", f"model.dense_units={units}", "trainer.max_epochs=2"))
        for lr, units in ((1e-3, 8), (1e-2, 4))
    ]
    assert len({family_of(point) for point in points} - {None}) == 1
    together = train_family(points, TrialData())
    for point, result in zip(points, together, strict=True):
        alone = train_point(point, TrialData())
        assert result.metrics == pytest.approx(alone.metrics, abs=1e-5) and result.parameters == alone.parameters


@pytest.mark.slow
@pytest.mark.parametrize("choice", ["model.unfreeze=1", "model.lora=2", "model.layers=weighted", "model.dense_units=0"])
def test_what_no_pass_can_share_trains_alone(compose, choice):
    assert family_of(train_settings(compose("hubert"))) is not None
    point = train_settings(compose("hubert", choice))
    assert family_of(point) is None
    assert np.isfinite(train_point(point, TrialData()).metrics["val/loss"])


@pytest.mark.parametrize("kind", EXPORTED)
def test_a_run_is_one_file_from_waveform_to_probabilities(compose, tmp_path, kind):
    pytest.importorskip("onnxscript")
    run = genre.train(compose(kind))
    file = tmp_path / "model.onnx"
    export(genre.compose(f"run={run.folder}", f"output={file}", f"folder={tmp_path / 'x'}", config_name="export"))
    model, exported = genre.load(run.folder), genre.load(file)
    waveform = 0.1 * torch.randn(3, 3 * model.sample_rate, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(torch.as_tensor(exported(waveform)), model(waveform), atol=1e-3, rtol=0)
    assert model(waveform).std(dim=0).max() > 0


def test_a_network_in_an_onnx_file_is_not_exported_for_pytorch(compose, tmp_path):
    run = genre.train(compose("onnx"))
    own = [f"run={run.folder}", f"folder={tmp_path / 'x'}", "format=torch"]
    with pytest.raises(UserError, match=r"network is an ONNX file can be exported with format=onnx only"):
        export(genre.compose(*own, config_name="export"))


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["augment=document"], "the network hears waveforms; set augment=none"),
        (["spectrogram=document"], "hears waveforms; add spectrogram=waveform"),
    ],
)
def test_what_does_not_go_with_waveforms_is_refused_in_one_sentence(compose, overrides, sentence):
    with pytest.raises(UserError, match=sentence.replace(".", r"\.")):
        genre.train(compose("onnx", *overrides))


def test_the_published_probe_of_marble_is_swept_in_one_pass(configured, network):
    given = ["experiment=probe/marble", "data.root=x", *network("onnx")[1:2]]
    rates = (1e-2, 1e-4)
    points = [
        train_settings(configured(*given, f"optimizer.lr={lr}", data="gtzan", network="published")) for lr in rates
    ]
    assert None not in {family_of(point) for point in points} and len({family_of(point) for point in points}) == 1
    (point, *_) = points
    network_values = point.model.arguments
    assert (network_values["dense_units"], network_values["dropout"], network_values["normalize"]) == (512, 0.2, False)
    assert (point.batch_size, point.stopping.patience, point.split.kind) == (64, 20, "fault_filtered")
    assert point.scheduler.component.arguments == {"mode": "max", "factor": 0.5, "patience": 6}


@pytest.mark.slow
@pytest.mark.parametrize("probe", ["marble", "mir_ref"])
def test_published_probes_train(configured, network, probe):
    given = [value for value in network("onnx") if value.startswith("model.name")]
    quick = ["split=random", "view.seconds=2", "trainer.max_epochs=1"]
    run = genre.train(configured(f"experiment=probe/{probe}", *given, *quick, network="published"))
    assert np.isfinite(run.metrics["test/loss"])


def test_a_network_for_pictures_refuses_waveforms(configured):
    with pytest.raises(UserError, match=r"genre\.models\.cnn\.CNN sees pictures; omit spectrogram=waveform"):
        genre.train(configured("spectrogram=waveform", "augment=none"))


def test_the_record_of_a_run_names_no_weights_by_path_in_a_card(compose):
    record = train_settings(compose("onnx")).record
    assert portable(record)["model"]["name"] == "a network (small).onnx"
