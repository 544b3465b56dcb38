"""Networks of timm on the picture, with weights from a file."""

import pytest
import torch

from genre.errors import UserError
from genre.models.image import ImageBackbone
from small_networks import write_timm

RESIDUAL, ATTENTION = "test_resnet.r160_in1k", "test_vit.r160_in1k"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """The weights file of each of the two networks."""
    folder = tmp_path_factory.mktemp("timm")
    names = (RESIDUAL, ATTENTION)
    return {name: str(write_timm(folder / f"{name}.safetensors", name.split(".")[0])) for name in names}


@pytest.mark.parametrize("name", [RESIDUAL, ATTENTION])
def test_features_are_what_timm_pools_of_the_normalised_grey_picture(weights, name):
    timm = pytest.importorskip("timm")
    from safetensors.torch import load_file

    network, pictures = ImageBackbone(4, 64, name, weights[name]).eval(), torch.rand(2, 1, 64, 64)
    size = {"img_size": 64} if name == ATTENTION else {}
    overlay = {"state_dict": load_file(weights[name])}
    peer = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=0, **size).eval()
    about = peer.pretrained_cfg
    rgb = (pictures.repeat(1, 3, 1, 1) - torch.tensor(about["mean"]).view(3, 1, 1)) / torch.tensor(about["std"]).view(
        3, 1, 1
    )
    with torch.no_grad():
        torch.testing.assert_close(network.embed(pictures), peer(rgb), atol=1e-5, rtol=1e-5)


def test_a_checkpoint_builds_the_network_without_its_weights_file(weights):
    first, pictures = ImageBackbone(4, 32, RESIDUAL, weights[RESIDUAL]).eval(), torch.rand(2, 1, 32, 32)
    again = ImageBackbone(4, 32, RESIDUAL, "gone.safetensors", architecture=first.architecture)
    again.load_state_dict(first.state_dict())
    assert torch.equal(again.eval()(pictures), first(pictures))


def test_the_last_blocks_of_timms_grouping_can_learn(weights):
    network = ImageBackbone(4, 32, RESIDUAL, weights[RESIDUAL], unfreeze=1, unfreeze_lr=1e-4)
    learning = [name for name, value in network.backbone.named_parameters() if value.requires_grad]
    assert learning and all(name.startswith("layer4") for name in learning)
    assert network.feature_identity is None


def test_low_rank_changes_need_attention(weights):
    assert ImageBackbone(4, 32, ATTENTION, weights[ATTENTION], lora=2).feature_identity is None
    with pytest.raises(ValueError, match=r"model\.lora=2 adapts attention"):
        ImageBackbone(4, 32, RESIDUAL, weights[RESIDUAL], lora=2)


@pytest.mark.parametrize(
    ("name", "file", "sentence"),
    [
        ("resnet5000", None, "model.name=resnet5000 is no network of timm"),
        (RESIDUAL, "gone.safetensors", "is no .safetensors file"),
        (RESIDUAL, ATTENTION, "lacks weights of model.name=test_resnet"),
        ("hf-hub:someone/network", None, "is no network of timm"),
    ],
)
def test_names_and_files_that_do_not_fit_are_user_errors(weights, name, file, sentence):
    with pytest.raises(UserError, match=sentence):
        ImageBackbone(4, 32, name, weights.get(file, file))


def test_a_hub_that_cannot_be_reached_is_one_sentence_with_the_remedy(monkeypatch):
    pytest.importorskip("timm")

    def unreachable(*_, **__):
        raise OSError("no connection")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", unreachable)
    with pytest.raises(UserError, match=r"hf download timm/test_resnet\.r160_in1k .* set model\.weights to the"):
        ImageBackbone(4, 32, RESIDUAL)
