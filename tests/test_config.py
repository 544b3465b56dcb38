"""Every YAML composes, and every node binds to the real signature."""

import inspect
from pathlib import Path

import pytest
from hydra.utils import get_class

import genre
from genre import config
from genre.errors import UserError

CONF = Path(__file__).parents[1] / "conf"
GROUPS = sorted(
    f"{path.parent.relative_to(CONF).as_posix()}={path.stem}"
    for path in CONF.rglob("*.yaml")
    if path.parent != CONF and path.parent.name not in ("document", "grid")
)
EXPERIMENTS = sorted(
    path.relative_to(CONF / "experiment").with_suffix("").as_posix() for path in (CONF / "experiment").rglob("*.yaml")
)
PATHS = ["folder=x", "name=x"]


def composed(override: str) -> dict:
    needed = {"data=folder": ["data.root=x"], "data=csv": ["data.path=x"], "data=logmel": ["data.path=x"]}
    return config.plain(genre.compose(override, *PATHS, *needed.get(override, [])))


def bind(node: dict, **given) -> None:
    values = {key: value for key, value in node.items() if key != "_target_"}
    inspect.signature(get_class(node["_target_"])).bind(**values, **given)


@pytest.mark.parametrize("override", [*GROUPS, *(f"experiment={name}" for name in EXPERIMENTS)])
def test_every_option_composes_and_binds_to_its_signature(override):
    values = composed(override)
    bind(values["model"], genres=10, size=128)
    bind(values["optimizer"], params=[])
    bind(values["scheduler"], optimizer=None)
    for name in ("task", "view", "spectrogram", "augment"):
        bind(values[name])
    own = {key: value for key, value in values["data"].items() if key not in config.SETTINGS_OF_DATA}
    inspect.signature(config.READERS[values["data"]["kind"]]).bind(**own)
    if "weights" in values["model"]:
        values["model"]["weights"] = "random"  # the original ones need a network or a file
    config.check(values)


def test_there_are_configurations_to_test():
    assert len(GROUPS) > 15 and "document/base" in EXPERIMENTS


def test_the_archive_implies_its_spectrogram():
    assert composed("data=logmel")["spectrogram"]["_target_"].endswith("ArchiveSpectrogram")


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda path: path.relative_to(CONF).as_posix())
def test_every_file_says_what_it_is_and_holds_no_foreign_keys(path):
    first, second = path.read_text().splitlines()[:2]
    assert first.startswith("# ")
    assert not first.startswith("# @package") or second.startswith("# ")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data=logmel", "data.path=x", "spectrogram=document"], "leave out spectrogram=document"),
        (["data=synthetic", "split=fault_filtered"], "split=fault_filtered lists GTZAN's tracks"),
        (["data=synthetic", "batch_size=0"], "batch_size=0"),
    ],
)
def test_keys_that_do_not_go_together_are_named_before_any_data_is_read(overrides, message):
    with pytest.raises(UserError, match=message):
        config.check(config.plain(genre.compose(*overrides, *PATHS)))


def test_a_class_of_another_kind_is_not_called():
    with pytest.raises(UserError, match=r"_target_=subprocess\.Popen is not a Task"):
        config.task_of({"task": {"_target_": "subprocess.Popen", "args": "true"}})
