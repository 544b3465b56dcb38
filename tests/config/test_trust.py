"""A record may name known classes, under their own names, and nothing else is imported for it."""

import sys

import pytest
import yaml

from genre.config.records import flatten
from genre.config.trust import check_targets
from genre.errors import UserError
from genre.paths import CONF


def check(key, name, *trust):
    check_targets({"data": {}, key: {"x": {"_target_": name}}}, "RUN", trust)


def names_in_conf():
    for path in sorted(CONF.rglob("*.yaml")):
        for key, value in flatten(yaml.safe_load(path.read_text(encoding="utf-8"))):
            if key.rpartition(".")[2] == "_target_":
                yield path.parent.name, value


@pytest.mark.parametrize(
    ("key", "name"),
    [
        *names_in_conf(),
        ("optimizer", "torch.optim.lr_scheduler.CosineAnnealingLR"),
        ("optimizer", "torch.optim.adam.Adam"),
        ("callbacks", "lightning.pytorch.callbacks.EMAWeightAveraging"),
        ("logger", "lightning.pytorch.loggers.csv_logs.CSVLogger"),
    ],
)
def test_what_belongs_to_the_program_is_known(key, name):
    check(key, name)


@pytest.mark.parametrize(
    "name",
    [
        "torch.optim.os.system", "genre.data.audio.os.system", "genre.data.audio.Path", "genre.config.build.Trainer",
        "genre.models.cnn.nn.Sequential", "genre.data.gtzan.GENRES", "genre.data.gtzan", "genre", "genre..x", "torch",
        "torch.optim.lr_scheduler.partial", "torch.load", "torch.nn.ReLU", "lightning.pytorch.callbacks.os.system",
        "lightning.Callback", "os.system", "genres.Net", "torch.optimx.Adam", "system", "", ".", "builtins.eval",
    ],
)  # fmt: skip
def test_what_a_known_module_only_imports_or_another_defines_is_refused(name):
    with pytest.raises(UserError, match=r"^RUN names model\.x\._target_="):
        check("model", name)


@pytest.mark.parametrize("group", ["callbacks", "logger"])
def test_callbacks_of_ours_that_write_where_they_are_told_are_refused(group):
    with pytest.raises(UserError, match="which is no known part of a run"):
        check(group, "genre.training.callbacks.History")


def test_nothing_is_imported_to_find_out(tmp_path, monkeypatch):
    (tmp_path / "payload.py").write_text("raise SystemExit")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=r"add trust=payload$"):
        check("model", "payload.Net")
    check("model", "payload.Net", "payload")
    check("model", "payload.inner.Net", "other", "payload")
    assert "payload" not in sys.modules
