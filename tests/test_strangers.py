"""A run folder from a stranger can be opened: its record is data, and nothing that it names runs unless it is known."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

import genre
from genre.config.records import read_record
from genre.errors import UserError
from genre.paths import RECORD

ROOT = Path(__file__).parents[1]
PAYLOAD = "from pathlib import Path\nPath('executed').touch()\nfrom genre.models.cnn import CNN\nclass Net(CNN): pass\n"
QUICK = ("trainer.max_epochs=1", "trainer.precision=32-true", "trainer.enable_progress_bar=false")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, music, cache):
    """One finished run that no test changes."""
    own = ["data=folder", f"data.root={music}", f"data.cache={cache}", "name=test", "view.seconds=4"]
    small = ["model.filters=[4,4,8]", "model.dense_units=8", f"folder={tmp_path_factory.mktemp('runs') / 'run'}"]
    return genre.train(genre.compose(*own, *small, *QUICK)).folder


@pytest.fixture
def stranger(trained, tmp_path, monkeypatch):
    """A copy of the run with ``payload.py`` beside it, from which the commands are called."""
    folder = Path(shutil.copytree(trained, tmp_path / "stranger"))
    (folder / "payload.py").write_text(PAYLOAD)
    monkeypatch.chdir(folder)
    yield folder
    sys.modules.pop("payload", None)
    sys.path[:] = [entry for entry in sys.path if entry != str(folder)]


def change_record(folder, group, **values):
    """Change a group in hparams.yaml and in the checkpoints, as a stranger could."""
    record = yaml.safe_load((folder / RECORD).read_text())
    for content in [record, *checkpoints(folder)]:
        part = content["genre"]["config"] if "genre" in content else content
        part[group] = {**part[group], **values} if isinstance(part.get(group), dict) else values
        if "genre" in content:
            torch.save(content, content.pop("path"))
    (folder / RECORD).write_text(yaml.safe_dump(record))


def checkpoints(folder):
    for path in (folder / "checkpoints").glob("*.ckpt"):
        yield torch.load(path, weights_only=True) | {"path": path}


def resume(folder, *overrides):
    return genre.train(genre.compose(f"resume={folder}", *overrides))


def evaluate(folder, *overrides):
    return genre.evaluate(
        genre.compose(f"run={folder}", f"folder={folder / 'out'}", *overrides, config_name="evaluate")
    )


def predict(folder, *overrides):
    song = next(Path(read_record(folder)["data"]["root"]).rglob("*.wav"))
    own = [f"run={folder}", f"input={song}", f"folder={folder / 'out'}", *overrides]
    return genre.predict(genre.compose(*own, config_name="predict"))


def compare(folder, *overrides):
    return genre.evaluate(
        genre.compose(f"runs={folder}", f"folder={folder / 'out'}", *overrides, config_name="evaluate")
    )


USES = {"resume": resume, "evaluate": evaluate, "predict": predict}
used = pytest.mark.parametrize("use", USES.values(), ids=USES)


@used
def test_a_run_that_names_a_module_beside_it_does_not_import_it(stranger, use):
    change_record(stranger, "model", _target_="payload.Net")
    with pytest.raises(
        UserError, match=r"names model\._target_=payload\.Net, .*if you trust its author, add trust=pay"
    ):
        use(stranger)
    assert not Path("executed").exists()


@used
def test_a_module_that_the_user_trusts_is_imported(stranger, use):
    change_record(stranger, "model", _target_="payload.Net")
    use(stranger, "trust=payload")
    assert Path("executed").exists()


@used
def test_trust_in_one_module_is_none_in_another(stranger, use):
    change_record(stranger, "model", _target_="payload.Net")
    with pytest.raises(UserError, match="payload"):
        use(stranger, "trust=[pay,payload.Net,payloads]")
    assert not Path("executed").exists()


@pytest.mark.parametrize("use", [evaluate, predict], ids=["evaluate", "predict"])
def test_the_trust_that_a_checkpoint_asks_for_is_not_given(stranger, use):
    change_record(stranger, "model", _target_="payload.Net")
    for content in checkpoints(stranger):
        content["genre"]["config"]["trust"] = ["payload"]
        torch.save(content, content.pop("path"))
    with pytest.raises(UserError, match="add trust=payload"):
        use(stranger)
    assert not Path("executed").exists()


@pytest.mark.parametrize("group", ["callbacks", "logger"])
def test_callbacks_and_loggers_of_a_stranger_are_not_imported_either(stranger, group):
    change_record(stranger, group, mine={"_target_": "payload.Net"})
    with pytest.raises(UserError, match=rf"names {group}\.mine\._target_=payload\.Net"):
        resume(stranger)
    assert not Path("executed").exists()


@pytest.mark.parametrize("group", ["optimizer", "scheduler", "task", "view", "augment", "spectrogram", "data"])
def test_no_other_group_of_a_stranger_is_imported(stranger, group):
    change_record(stranger, group, _target_="payload.Net")
    with pytest.raises(UserError, match=rf"names {group}\._target_=payload\.Net"):
        evaluate(stranger)
    assert not Path("executed").exists()


def test_a_table_of_runs_imports_nothing(stranger):
    change_record(stranger, "model", _target_="payload.Net")
    assert compare(stranger).metrics["rows"][0]["model"] == "test"
    assert not Path("executed").exists()


def test_a_run_to_start_from_gives_its_weights_only(stranger, configured):
    change_record(stranger, "model", _target_="payload.Net")
    assert genre.train(configured(f"init_from={stranger}")).folder.is_dir()
    with pytest.raises(UserError, match=r"is another network \(Net\)"):
        genre.train(configured(f"init_from={stranger}", "model.filters=[2,2,4]", f"folder={stranger / 'other'}"))
    assert not Path("executed").exists()


class Planted:
    """What a malicious pickle does when it is loaded."""

    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("use", [*USES.values(), "init_from", "model.weights"], ids=[*USES, "init_from", "weights"])
def test_a_pickle_is_not_executed(stranger, configured, use):
    for name in ("best", "last"):
        torch.save({"genre": {"version": 2}, "state_dict": Planted()}, stranger / "checkpoints" / f"{name}.ckpt")
    torch.save({"features.0.weight": Planted()}, "weights.pth")
    with pytest.raises(UserError):
        if use == "init_from":
            genre.train(configured(f"init_from={stranger}"))
        elif use == "model.weights":
            genre.train(configured("model=vgg16", "model.weights=weights.pth", network="vgg16"))
        else:
            use(stranger)
    assert not Path("executed").exists()


def test_nothing_is_interpolated(stranger, monkeypatch):
    monkeypatch.setenv("TOKEN", "s3cr3t")
    path = stranger / RECORD
    path.write_text(path.read_text().replace("name: test", "name: 'of ${oc.env:TOKEN} \\\\${oc.env:TOKEN}'"))
    compare(stranger)
    table = (stranger / "out" / "results.md").read_text()
    assert "${oc.env:TOKEN}" in table and "s3cr3t" not in table
    assert resume(stranger).folder == stranger
    assert "s3cr3t" not in path.read_text() and read_record(stranger)["name"].startswith("of ${oc.env:TOKEN}")


@pytest.mark.parametrize(
    "section",
    [
        "hydra: {callbacks: {x: {_target_: payload.Net}}}",
        "hydra: {job_logging: {handlers: {file: {filename: written}}}}",
        "defaults: [model: mine]",
        "trust: [payload]",
    ],
)
@pytest.mark.parametrize("use", [resume, compare], ids=["resume", "runs"])
def test_instructions_to_hydra_in_a_record_are_refused(stranger, section, use):
    with (stranger / RECORD).open("a") as file:
        file.write(section + "\n")
    with pytest.raises(UserError, match=f"has the section {section.partition(':')[0]}, which no run of this program"):
        use(stranger)
    assert not Path("executed").exists() and not Path("written").exists()


def test_options_in_a_strangers_folder_are_not_found(stranger):
    (stranger / "model").mkdir()
    (stranger / "model" / "mine.yaml").write_text("_target_: payload.Net\n")
    with pytest.raises(UserError, match="model cannot change to mine"):
        resume(stranger, "model=mine")


@pytest.mark.slow
def test_the_commands_read_a_strangers_record_as_data(stranger):
    with (stranger / RECORD).open("a") as file:
        file.write("hydra: {job_logging: {handlers: {file: {filename: written}}}}\n")
    change_record(stranger, "model", _target_="payload.Net")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for script, arguments in {"train": ["resume=."], "evaluate": ["run=."], "predict": ["run=.", "input=."]}.items():
        done = subprocess.run(
            [sys.executable, ROOT / f"{script}.py", *arguments], capture_output=True, text=True, env=environment
        )
        assert done.returncode == 1 and done.stderr.startswith("error: "), done.stderr
    assert not Path("executed").exists() and not Path("written").exists()
