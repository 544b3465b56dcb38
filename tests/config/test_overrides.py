"""A wrong override is one sentence that names what was probably meant."""

import pytest
from hydra.errors import HydraException
from omegaconf.errors import MissingMandatoryValue

import genre
from genre.config.build import check_buildable
from genre.config.overrides import error_message
from genre.config.settings import train_settings
from genre.errors import UserError


def message(*overrides, config_name="config"):
    with pytest.raises((HydraException, UserError)) as error:
        cfg = genre.compose(*overrides, "folder=x", config_name=config_name)
        check_buildable(train_settings(cfg))
    return error_message(error.value, overrides, config_name)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("model=cnnn", "model=cnnn is not an option; did you mean model=cnn?"),
        ("experiment=vgg", "experiment=vgg is not an option; did you mean experiment=vgg16"),
        ("experiment=document", "experiment=document is not an option; did you mean experiment=document/"),
        ("experiment=nonsense", "experiment=nonsense is not an option; known are experiment=best"),
        ("experiment=document/bas", "experiment=document/bas is not an option; did you mean experiment=document/base?"),
        ("scheduler=plato", "scheduler=plato is not an option; did you mean scheduler=plateau?"),
        ("trainer.max_epoch=3", "there is no key trainer.max_epoch; did you mean trainer.max_epochs?"),
        ("model.filter=[1]", "there is no key model.filter; did you mean model.filters?"),
        ("modle=cnn", "there is no key modle; did you mean model?"),
        ("wholly_different=1", "there is no key wholly_different; --help lists the known ones"),
        ("batchsize=3", "there is no key batchsize; did you mean batch_size?"),
        ("~optimiser", "there is no key optimiser; did you mean optimizer"),
        ("+optimizer.amsgrade=true", "there is no key optimizer.amsgrade; did you mean optimizer.amsgrad?"),
        ("+augment.shifts=1", "there is no key augment.shifts; did you mean augment.shift?"),
        ("+model.width=3", "there is no key model.width"),
    ],
)
def test_an_unknown_option_or_key_names_the_nearest_known_one(override, sentence):
    assert message(override, "data=synthetic").startswith(sentence)


@pytest.mark.parametrize(
    ("config_name", "override", "nearest"),
    [
        ("evaluate", "subst=val", "subset"),
        ("predict", "imput=x", "input"),
        ("sweep", "grid.leases=3", "grid.lease"),
        ("curve", "curve.fold=3", "curve.folds"),
    ],
)
def test_the_nearest_key_is_one_of_the_commands_own(config_name, override, nearest):
    with pytest.raises(HydraException) as error:
        genre.compose(override, "folder=x", config_name=config_name)
    assert f"did you mean {nearest}?" in error_message(error.value, [override], config_name)


def test_a_message_is_one_line():
    assert "\n" not in message("trainer.max_epoch=3") and "\n" not in message("model=cnnn")


@pytest.mark.parametrize(("option", "key"), [("data=folder", "data.root"), ("model=image", "model.name")])
def test_a_key_without_a_default_is_asked_for_by_its_whole_name(option, key):
    with pytest.raises(MissingMandatoryValue) as info:
        train_settings(genre.compose(option, "folder=x", "name=x"))
    assert error_message(info.value, [option], "config") == f"{key} is needed, and has no default; add {key}=…"
