"""Every YAML composes into settings, and every wrong value is one sentence that names its key."""

import re
from functools import cache
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import genre
from genre.config.build import accelerator_device, check_buildable, root_device
from genre.config.records import flatten
from genre.config.settings import (
    curve_settings,
    evaluate_settings,
    explore_settings,
    predict_settings,
    sweep_settings,
    train_record,
    train_settings,
)
from genre.errors import UserError
from genre.models.published import AudioNetwork
from genre.paths import CONF
from helpers import with_values
from small_networks import write_timm

GROUPS = sorted(
    f"{path.parent.relative_to(CONF).as_posix()}={path.stem}"
    for path in CONF.rglob("*.yaml")
    if path.parent != CONF and path.parent.name not in ("document", "experiment", "grid", "logger", "probe")
)
EXPERIMENTS = sorted(
    path.relative_to(CONF / "experiment").with_suffix("").as_posix() for path in (CONF / "experiment").rglob("*.yaml")
)
FILES = sorted(CONF.rglob("*.yaml"))
PATHS = ["folder=x", "name=x"]
NEEDED = {
    "data=folder": ["data.root=x"],
    "data=library": ["data.root=x"],
    "data=fma": ["data.root=x"],
    "data=mtg_jamendo": ["data.root=x"],
    "data=ballroom": ["data.root=x"],
    "data=hf": ["data.name=x"],
    "data=csv": ["data.path=x"],
    "data=logmel": ["data.path=x"],
    "model=audio": ["model.name=some/network"],
    "model=image": ["model.name=test_resnet.r160_in1k"],
    "spectrogram=waveform": ["model=audio", "model.name=some/network"],
    "experiment=probe/marble": ["model.name=some/network"],
    "experiment=probe/mir_ref": ["model.name=some/network"],
}
VGG16_WEIGHTS = ["model.weights=random"]
TWO_RANDOM = [f"model.members.{name}.weights=random" for name in ("original", "enlarged")]
SKIPPED = ("trainer=debug", "scheduler=none")  # which set keys of several groups, or none
RANDOM_WEIGHTS = {
    **dict.fromkeys(("model=vgg16", "experiment=document/vgg16", "experiment=document/multigenre"), VGG16_WEIGHTS),
    "experiment=vgg16": TWO_RANDOM,
    "experiment=vgg16_pooled": VGG16_WEIGHTS,
    "experiment=vgg16_finetuned": VGG16_WEIGHTS,
    "experiment=best": ["model.members.vgg16.weights=random"],
    "model=ensemble": ["model.members.vgg16.weights=random"],
    "model=vgg16_scales": TWO_RANDOM,
}


class Silent(AudioNetwork):
    """A published network that needs no files."""

    sample_rate, widths, architecture = 16_000, (4, 4), {"kind": "silent"}

    def forward(self, waveform):
        return [waveform[:, :4], waveform[:, :4]]


@pytest.fixture(scope="module")
def timm_weights(tmp_path_factory):
    return write_timm(tmp_path_factory.mktemp("timm") / "model.safetensors", "test_resnet")


@pytest.fixture(autouse=True)
def published(request, monkeypatch):
    """Published networks whose files are not there."""
    monkeypatch.setattr("genre.models.audio.open_by_name", lambda *_: Silent())
    if "model=image" in str(request.node.name):
        weights = request.getfixturevalue("timm_weights")
        monkeypatch.setattr("genre.models.image.timm_file", lambda *_: weights)


@cache
def option_values(*overrides, config_name="config"):
    """The plain configuration of some options; composing it anew for every wrong value would take minutes."""
    needed = [extra for override in overrides for extra in (NEEDED | RANDOM_WEIGHTS).get(override, [])]
    named = PATHS if config_name in ("config", "sweep", "curve", "explore") else PATHS[:1]
    return genre.compose(*overrides, *named, *needed, config_name=config_name)


def composed(*overrides, config_name="config"):
    """The configuration of options (``group=option``) with further values (``key.name=value``) in it."""
    options = [override for override in overrides if (CONF / override.partition("=")[0]).is_dir()]
    values = [override for override in overrides if override not in options]
    return with_values(option_values(*options, config_name=config_name).copy(), values)


def numeric_keys():
    """Every key of every option that holds a number, with the option that has it."""
    keys = {}
    for option in ("model=cnn", *GROUPS):
        group, _, name = option.partition("=")
        values = OmegaConf.to_container(OmegaConf.load(CONF / group / f"{name}.yaml"))
        for key, value in flatten({} if option in SKIPPED else {group: values}):
            if isinstance(value, int | float) and not isinstance(value, bool):
                keys[key, option] = None
    return [*keys, ("batch_size", "model=cnn"), ("seed", "model=cnn"), ("stopping.patience", "model=cnn")]


@pytest.mark.parametrize("option", [*GROUPS, *(f"experiment={name}" for name in EXPERIMENTS)])
def test_every_option_becomes_settings_that_can_be_built(option):
    check_buildable(train_settings(composed(option)))


@pytest.mark.parametrize("logger", ["[tensorboard]", "[csv]", "[tensorboard,csv]", "[]"])
def test_loggers_can_be_combined(logger):
    names = [name for name in logger.strip("[]").split(",") if name]
    assert sorted(train_settings(composed(f"logger={logger}")).logger) == sorted(names)


def test_there_are_options_to_test():
    assert len(GROUPS) > 20 and "document/base" in EXPERIMENTS and len(numeric_keys()) > 50


@pytest.mark.parametrize(("key", "option"), numeric_keys())
def test_a_number_that_is_none_is_refused_by_its_key(key, option):
    with pytest.raises(UserError, match=rf"^{re.escape(key)}=abc must be ") as error:
        settings = train_settings(composed(option, f"{key}=abc"))
        check_buildable(settings)
        settings.data.reader.build()
    assert "\n" not in str(error.value)


REFUSED = [
    ("batch_size=1.5", "batch_size=1.5 must be a whole number of at least 1"),
    ("batch_size=0", "batch_size=0 must be a whole number of at least 1"),
    ("seed=-1", "seed=-1 must be a whole number of at least 0"),
    ("seed=1.5", "seed=1.5 must be a whole number"),
    ("split.seed=abc", "split.seed=abc must be a whole number"),
    ("split.kind=foo", "split.kind=foo must be one of random, artist, fault_filtered, column"),
    ("optimizer.lr=0", "optimizer.lr=0 must be a number above 0"),
    ("optimizer.lr=-1", "optimizer.lr=-1 must be a number above 0"),
    ("optimizer.weight_decay=-1", "optimizer.weight_decay=-1 must be a number of at least 0"),
    ("optimizer._target_=torch.optim.Adan", "optimizer._target_=torch.optim.Adan cannot be imported"),
    ("+optimizer.momentun=0.9", "there is no key optimizer.momentun"),
    ("scheduler.factor=2", "scheduler.factor=2 cannot be used"),
    ("stopping.patience=-1", "stopping.patience=-1 must be a whole number of at least 0 or null"),
    ("spectrogram.n_fft=0", "spectrogram.n_fft=0 must be a whole number of at least 1 (samples)"),
    ("spectrogram.hop_length=-5", "spectrogram.hop_length=-5 must be a whole number of at least 1"),
    ("spectrogram.n_mels=0", "spectrogram.n_mels=0 must be a whole number of at least 1"),
    ("spectrogram.f_max=0", "spectrogram.f_max=0 must be a number above 0 (Hz)"),
    ("spectrogram.sample_rate=22050.5", "spectrogram.sample_rate=22050.5 must be a whole number"),
    ("model.dense_units=0", "model.dense_units=0 must be a whole number of at least 1"),
    ("model.dense_units=-1", "model.dense_units=-1 must be a whole number of at least 1"),
    ("model.dropout=1", "model.dropout=1 must be a number of at least 0 and below 1"),
    ("augment.time_masks=1.5", "augment.time_masks=1.5 must be a whole number of at least 0"),
    ("augment.time_masks=-3", "augment.time_masks=-3 must be a whole number of at least 0"),
    ("augment.equalize=-1", "augment.equalize=-1 must be a number of at least 0"),
    ("view.seconds=1e-5", "view.seconds=1e-05 must be a number of at least 0.1"),
    ("data.tracks=0", "data.tracks=0 must be a whole number of at least 1"),
    ("data.seconds=-1", "data.seconds=-1 must be a number of at least 0.1"),
    ("data.seed=-1", "data.seed=-1 must be a whole number of at least 0"),
    ("data.keep=maybe", "data.keep=maybe must be true or false"),
    ("data.limit_tracks=-5", "data.limit_tracks=-5 must be a whole number of at least 1 or null"),
    ("+data.kind=foo", "there is no key data.kind"),
    ("trainer.max_epochs=0", "trainer.max_epochs=0 must be a whole number of at least 1"),
    ("trainer.max_epochs=abc", "trainer.max_epochs=abc must be a whole number of at least 1"),
    ("trainer.devices=0", "trainer.devices=0 must be a whole number of at least 1"),
    ("trainer.precision=8", "trainer.precision=8 must be one of auto, 32-true"),
    ("trainer.accelerator=foo", "trainer.accelerator=foo cannot be used"),
    ("+trainer.epochs=3", "there is no key trainer.epochs; did you mean trainer."),
    ("task.thresholds=foo", "there is no key task.thresholds"),
    ("task.certain=2", "task.certain=2 must be a number of at least 0 and at most 1"),
]


@pytest.mark.parametrize(("override", "sentence"), REFUSED)
def test_a_wrong_value_is_one_sentence_with_key_value_and_what_is_allowed(override, sentence):
    added = [override] if override.startswith("+") or not override.startswith("task.thresholds") else [f"+{override}"]
    with pytest.raises(UserError) as error:
        settings = train_settings(composed("data=synthetic", *added))
        check_buildable(settings)
        root_device(settings.trainer)
        settings.data.reader.build()
    assert str(error.value).startswith(sentence)
    assert "\n" not in str(error.value)


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="there is a GPU")
def test_a_missing_gpu_is_named():
    with pytest.raises(UserError, match=r"trainer\.accelerator=gpu cannot be used"):
        root_device(train_settings(composed("trainer.accelerator=gpu")).trainer)
    with pytest.raises(UserError, match=r"^accelerator=gpu cannot be used"):  # the key of predict.py and evaluate.py
        accelerator_device("gpu")


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("grid.lease=abc", "grid.lease=abc must be a number above 0 (seconds)"),
        ("grid.lease=0", "grid.lease=0 must be a number above 0"),
        ("grid.finalists=abc", "grid.finalists=abc must be a whole number of at least 0"),
        ("grid.seeds=[-1]", "grid.seeds=[-1] must be a list, each item a whole number of at least 0"),
        ("grid.heads=0", "grid.heads=0 must be a whole number of at least 1"),
        ("grid.sampler=foo", "grid.sampler=foo must be one of grid, random, tpe"),
        ("grid.sampler=random", "grid.sampler=random does not go with grid.trials=null"),
        ("grid.prune=median", "grid.prune=median goes with grid.sampler=random or tpe"),
        ("grid.experiment=../x", "grid.experiment=../x must be a name"),
        ("worker=-1", "worker=-1 must be a whole number of at least 0"),
    ],
)
def test_wrong_values_of_a_sweep_are_named(override, sentence):
    with pytest.raises(UserError) as error:
        sweep_settings(composed("data=synthetic", override, config_name="sweep"))
    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("curve.folds=1", "curve.folds=1 must be a whole number of at least 2"),
        ("curve.shares=[0.5,1]", "curve.shares=[0.5,1] must be three or more rising shares"),
        ("curve.shares=[0.5,0.25,1]", "curve.shares=[0.5,0.25,1] must be three or more rising shares"),
        ("curve.shares=[0,0.5,1]", "curve.shares=[0,0.5,1] must be a list, each item a number above 0 and at most 1"),
        ("curve.share=[0.5,1]", "there is no key curve.share; did you mean curve.shares?"),
        ("split.train_share=0.5", "a learning curve trains every fold and share: omit split.folds, split.fold"),
        ("split=column", "a learning curve needs folds, which split=random and split=artist have; omit split=column"),
        ("split.hold_out=x.csv", "a learning curve needs folds, which split=random and split=artist have; omit split."),
    ],
)
def test_wrong_values_of_a_learning_curve_are_named(override, sentence):
    with pytest.raises(UserError) as error:
        curve_settings(train_record(composed("data=synthetic", override, config_name="curve")))
    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize(
    ("parse", "config_name", "override", "sentence"),
    [
        (predict_settings, "predict", "hop=abc", "hop=abc must be a number above 0 (seconds) or null"),
        (predict_settings, "predict", "hop=0", "hop=0 must be a number above 0"),
        (evaluate_settings, "evaluate", "subset=foo", "subset=foo must be one of train, val, test, all or null"),
        (predict_settings, "predict", "dry_run=false", "overwrite=true and dry_run=false need write_tags=true"),
        (predict_settings, "predict", "overwrite=true", "overwrite=true and dry_run=false need write_tags=true"),
        (explore_settings, "explore", "few=-1", "few=-1 must be a whole number of at least 0"),
        (explore_settings, "explore", "duplicates.correlation=2", "duplicates.correlation=2 must be a number above 0"),
        (explore_settings, "explore", "duplicates.overlap=31", "duplicates.overlap=31 must not exceed"),
    ],
)
def test_wrong_values_of_the_other_commands_are_named(parse, config_name, override, sentence):
    with pytest.raises(UserError) as error:
        parse(composed(override, config_name=config_name))
    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data=logmel", "spectrogram=document"], "remove spectrogram=document"),
        (["data=synthetic", "split=fault_filtered"], "split=fault_filtered lists GTZAN's tracks"),
        (
            ["data=library", "split=fault_filtered"],
            "GTZAN's tracks; data=library has others",
        ),
        (["data=mtg_jamendo", "split=fault_filtered"], "data=mtg_jamendo has others"),
        (["data=hf", "split=fault_filtered"], "data=hf has others"),
        (["data=synthetic", "split.among=fault_filtered"], "split.among=fault_filtered lists GTZAN's tracks"),
    ],
)
def test_groups_that_do_not_go_together_are_named(overrides, message):
    with pytest.raises(UserError, match=message):
        train_settings(composed(*overrides))


def test_settings_are_frozen_and_can_be_replaced():
    settings = train_settings(composed("data=synthetic"))
    with pytest.raises(ValueError, match="frozen"):
        settings.seed = 3
    changed = settings.replace(seed=3, trainer__max_epochs=7)
    assert (changed.seed, changed.trainer.max_epochs, changed.record["trainer"]["max_epochs"]) == (3, 7, 7)
    assert (settings.seed, settings.record["seed"]) == (0, 0)


def test_the_archive_implies_its_spectrogram():
    assert train_settings(composed("data=logmel")).spectrogram.name.endswith("ArchiveSpectrogram")


def test_a_library_is_split_by_artist_unless_the_command_line_says_otherwise():
    assert train_settings(composed("data=library")).split.kind == "artist"
    assert train_settings(composed("data=library", "split=random")).split.kind == "random"
    assert train_settings(composed("split=random", "data=library")).split.kind == "random"


@pytest.mark.parametrize("data", ["fma", "mtg_jamendo"])
def test_collections_with_an_official_split_use_it_unless_the_command_line_says_otherwise(data):
    assert train_settings(composed(f"data={data}")).split.kind == "column"
    assert train_settings(composed(f"data={data}", "split=artist")).split.kind == "artist"


def test_other_commands_read_a_library_although_they_split_nothing():
    library = "genre.data.library.read_library"
    assert evaluate_settings(composed("data=library", config_name="evaluate")).data.reader.name == library
    assert explore_settings(composed("data=library", config_name="explore")).data.reader.name == library


def test_undoing_tags_goes_without_an_input():
    with pytest.raises(UserError, match="undo=FILE restores tags and predicts nothing"):
        predict_settings(composed("undo=tags.csv", "input=song.mp3", config_name="predict"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(CONF).as_posix())
def test_every_file_begins_with_a_comment_on_what_it_is(path: Path):
    first, second = path.read_text().splitlines()[:2]
    assert first.startswith("# ")
    assert not first.startswith("# @package") or second.startswith("# ")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(CONF).as_posix())
def test_every_key_has_a_comment(path: Path):
    lines = path.read_text().split("\nhydra:")[0].splitlines()
    keys = [line for line in lines if re.match(r"\w[\w.]*: \S", line) and not line.startswith(("_target_", "defaults"))]
    assert [
        line for line in keys if "#" not in line and path.parent.name not in ("experiment", "document", "probe")
    ] == []
