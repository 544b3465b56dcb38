"""Every YAML composes, and every node binds to the real signature."""

import ast
import inspect
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hydra.utils import get_class
from lightning import Trainer
from omegaconf import OmegaConf

import genre
from genre import config
from genre.data.splits import Split
from genre.errors import UserError
from genre.training.train import OWN_KEYS

CONF = Path(__file__).parents[1] / "conf"
GROUPS = sorted(
    f"{path.parent.relative_to(CONF).as_posix()}={path.stem}"
    for path in CONF.rglob("*.yaml")
    if path.parent != CONF and path.parent.name not in ("document", "grid")
)
EXPERIMENTS = sorted(
    path.relative_to(CONF / "experiment").with_suffix("").as_posix() for path in (CONF / "experiment").rglob("*.yaml")
)
GROUP_NAMES = {path.name for path in CONF.iterdir() if path.is_dir()} - {"experiment", "grid"}
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
    assert set(values["trainer"]) <= {*parameters(Trainer), *OWN_KEYS}
    assert set(values) <= set(OmegaConf.load(CONF / "config.yaml")) | GROUP_NAMES
    if "weights" in values["model"]:
        values["model"]["weights"] = "random"  # the original ones need a network or a file
    config.check(values)


def test_there_are_configurations_to_test():
    assert len(GROUPS) > 15 and "document/base" in EXPERIMENTS


def test_the_archive_implies_its_spectrogram():
    assert composed("data=logmel")["spectrogram"]["_target_"].endswith("ArchiveSpectrogram")


def parameters(function: Callable) -> set[str]:
    return set(inspect.signature(function).parameters)


@cache
def names_in_the_package() -> set[str]:
    """All attribute names and texts in the source: what a key must be among to be read at all."""
    nodes = [
        node for path in Path(genre.__file__).parent.rglob("*.py") for node in ast.walk(ast.parse(path.read_text()))
    ]
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return attributes | {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def known_keys(path: Path, values: dict) -> set[str]:
    """The keys that a YAML file may set, from the signature of what it configures."""
    match path.relative_to(CONF).parts[0]:
        case "data":
            return {*config.SETTINGS_OF_DATA, *parameters(config.READERS[values["kind"]]), *GROUP_NAMES}
        case "split":
            return parameters(Split)
        case "trainer":
            return {*parameters(Trainer), *OWN_KEYS}
        case "grid":
            return {"axes", *OmegaConf.load(CONF / "sweep.yaml").grid}
        case "experiment":
            return set(OmegaConf.load(CONF / "config.yaml")) | GROUP_NAMES
        case name if name.endswith(".yaml"):
            return names_in_the_package()
        case group:
            return {"_target_", *parameters(get_class(composed(f"{group}={path.stem}")[group]["_target_"]))}


FILES = pytest.mark.parametrize(
    "path", sorted(CONF.rglob("*.yaml")), ids=lambda path: path.relative_to(CONF).as_posix()
)


@FILES
def test_every_key_of_a_file_is_known_to_what_it_configures(path):
    values = OmegaConf.to_container(OmegaConf.load(path))
    assert set(values) - {"defaults", "hydra"} - known_keys(path, values) == set()


@FILES
def test_every_file_begins_with_a_comment_on_what_it_is(path):
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
