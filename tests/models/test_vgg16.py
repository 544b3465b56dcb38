"""VGG16 is the original network, frozen; its weights come from torchvision, a file or are random."""

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.Image import Resampling
from safetensors.torch import save_file
from torchvision.models import VGG16_Weights, vgg16

from genre.errors import UserError
from genre.models.vgg16 import PRETRAINED, VGG16, download_weights

FILE = "vgg16_features_imagenet_rgb_fp16.safetensors"


def network(**values) -> VGG16:
    return VGG16(10, 64, **{"weights": "random"} | values)


@pytest.fixture
def real(shared):
    weights = shared.parent / "weights"
    with np.load(weights / "vgg16_reference_activations.npz") as arrays:
        reference = dict(arrays)
    return weights / FILE, reference


def disagreement(model: VGG16, picture: torch.Tensor, reference: dict[str, np.ndarray]) -> float:
    """The largest difference to the reference's maps (width, channels, height), as a share of their largest value."""
    with torch.inference_mode():
        maps = model.eval().block_maps(picture, (3, 5))
    return max(
        float(np.abs(ours[0].permute(2, 0, 1).numpy() - theirs).max() / theirs.max())
        for ours, theirs in zip(maps, (reference["pool3"], reference["pool5"]), strict=True)
    )


def test_features_of_an_rgb_picture_equal_the_original_networks(real):
    path, reference = real
    picture = torch.from_numpy(reference["image"]).permute(2, 0, 1)[None] / 255
    assert disagreement(VGG16(10, 128, str(path)), picture, reference) < 0.01


@pytest.mark.parametrize("wrong", ["channels", "transform"])
def test_features_differ_with_swapped_channels_or_the_wrong_transform(real, wrong):
    path, reference = real
    picture = torch.from_numpy(reference["image"]).permute(2, 0, 1)[None] / 255
    if wrong == "channels":
        model, picture = VGG16(10, 128, str(path)), picture.flip(1)
    else:
        model = VGG16(10, 128, str(path), transform="IMAGENET1K_V1")
    assert disagreement(model, picture, reference) > 0.05


@pytest.mark.parametrize("name", list(PRETRAINED))
def test_file_name_and_transform_equal_torchvisions(name):
    known, theirs = PRETRAINED[name], VGG16_Weights[name]
    assert known.file in theirs.url
    assert known.mean == pytest.approx(theirs.transforms().mean)
    assert known.std == pytest.approx(theirs.transforms().std)


def test_published_weights_are_identified_by_content_under_any_file_name(real, tmp_path, caplog):
    (tmp_path / "mine.safetensors").write_bytes(real[0].read_bytes())
    assert network(weights=str(tmp_path / "mine.safetensors")).fingerprint == (
        PRETRAINED["IMAGENET1K_FEATURES"].fingerprint
    )
    assert not caplog.records


def test_the_convolutions_equal_torchvisions():
    ours, theirs = network().features, vgg16(weights=None).features
    assert str(ours) == str(theirs)


def test_only_the_head_is_trained_and_the_rest_stays_in_evaluation_mode():
    model = network().train()
    assert not any(p.requires_grad for p in model.features.parameters())
    assert not any(layer.training for layer in model.features.modules())
    (group,) = model.parameter_groups()
    assert sum(p.numel() for p in group["params"]) == 512 * 2 * 2 * 128 + 128 + 128 * 10 + 10


def test_unfrozen_blocks_have_their_own_learning_rate():
    model = network(unfreeze=1, unfreeze_lr=1e-5)
    head, blocks = model.parameter_groups()
    assert "lr" not in head and blocks["lr"] == 1e-5
    assert sum(p.numel() for p in blocks["params"]) == 3 * (512 * 512 * 9 + 512)
    assert model.feature_identity is None


def test_a_grey_picture_is_repeated_over_three_channels():
    model, picture = network().eval(), torch.rand(1, 1, 64, 64)
    torch.testing.assert_close(model.embed(picture), model.embed_rgb(torch.cat([picture] * 3, dim=1)))


@pytest.mark.parametrize("features", ["flattened", "pooled"])
def test_features_and_pictures_give_the_same_logits(features):
    model, pictures = network(features=features).eval(), torch.rand(3, 1, 64, 64)
    torch.testing.assert_close(model(model.embed(pictures)), model(pictures))


def test_pooled_features_are_mean_maximum_and_standard_deviation_of_each_channel():
    model, picture = network(features="pooled", blocks=[2, 5]).eval(), torch.rand(1, 1, 64, 64)
    embedded = model.embed(picture)[0].numpy()
    maps = [m[0].flatten(1).numpy() for m in model.block_maps(picture.expand(-1, 3, -1, -1), (2, 5))]
    expected = np.concatenate([part for m in maps for part in (m.mean(1), m.max(1), m.std(1))])
    assert embedded.shape == (3 * (128 + 512),)
    np.testing.assert_allclose(embedded, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("features", ["flattened", "pooled"])
def test_enlarged_pictures_have_the_features_of_larger_ones(features):
    torch.manual_seed(0)
    model = network(features=features, enlarge=2).eval()
    picture = torch.rand(2, 1, 64, 64)
    larger = torch.from_numpy(
        np.stack(
            [np.asarray(Image.fromarray(p).resize((128, 128), Resampling.BILINEAR)) for p in picture[:, 0].numpy()]
        )
    )
    as_it_is = VGG16(10, 128, "random", features=features)
    as_it_is.features.load_state_dict(model.features.state_dict())
    torch.testing.assert_close(model.embed(picture), as_it_is.eval().embed(larger[:, None]), rtol=1e-3, atol=1e-4)
    assert model.width == as_it_is.width and model.feature_identity != as_it_is.feature_identity


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_weights_load_from_either_file_format_and_precision(tmp_path, suffix, dtype):
    original = network()
    state = {f"features.{name}": value.to(dtype) for name, value in original.features.state_dict().items()}
    path = tmp_path / f"weights{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(
        state | {"classifier.0.bias": torch.ones(1)}, path
    )
    assert network(weights=str(path)).fingerprint == original.fingerprint


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize(
    ("kind", "message"), [("other", "does not hold"), ("cut", "truncated"), ("gone", "does not exist")]
)
def test_an_unusable_weights_file_is_a_user_error(tmp_path, suffix, kind, message):
    path = tmp_path / f"weights{suffix}"
    state = {"layer.weight": torch.rand(10, 10)}
    if kind != "gone":
        save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=message):
        network(weights=str(path))


def test_a_failed_download_is_a_user_error_with_alternatives(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    fetched = r"curl -LO https://.*/vgg16-397923af\.pth, 528 MB"
    with pytest.raises(UserError, match=rf"cannot download model\.weights=IMAGENET1K_V1.*{fetched}.*GENRE_VGG16"):
        download_weights("IMAGENET1K_V1")


@pytest.mark.parametrize(
    ("key", "value"),
    [("features", "mean"), ("blocks", [0]), ("blocks", []), ("unfreeze", 6), ("cached_views", -1), ("transform", "x")],
)
def test_an_invalid_value_is_refused_by_key(key, value):
    with pytest.raises(ValueError, match=key):
        network(**{key: value})
