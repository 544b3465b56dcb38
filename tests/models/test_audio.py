"""Published networks that hear waveforms: opened from local folders, and what of them reaches the head."""

import logging

import pytest
import torch

from genre.errors import UserError
from genre.models.audio import AudioBackbone
from small_networks import AUDIO, RATES, write_network, write_onnx


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """The folder of a small network of each kind, written once."""
    folders = {}

    def folder(kind):
        if kind not in folders:
            folders[kind] = str(write_network(kind, tmp_path_factory.mktemp("network") / "a network"))
        return folders[kind]

    return folder


def clips(rate: int, seconds: float = 2.0) -> torch.Tensor:
    return 0.1 * torch.randn(3, 1, round(rate * seconds), generator=torch.Generator().manual_seed(1))


def opened(name: str, kind: str = "", **values) -> AudioBackbone:
    return AudioBackbone(4, name, RATES.get(kind.split()[-1] if "clap" in kind else kind, 16_000), 2.0, **values).eval()


def of_peer(folder: str, kind: str, waveforms: torch.Tensor):
    """What the peer's own extractor and network make of clips."""
    import transformers

    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    network_class = transformers.ClapAudioModelWithProjection if "clap" in kind else transformers.AutoModel
    network = network_class.from_pretrained(folder).eval()
    given = extractor(
        [clip.numpy() for clip in waveforms[:, 0]], sampling_rate=extractor.sampling_rate, return_tensors="pt"
    )
    given.pop("is_longer", None)
    with torch.no_grad():
        if "clap" in kind:
            return network.audio_model(given["input_features"].float()).pooler_output
        return network(given["input_values"].float(), output_hidden_states=True)


@pytest.mark.parametrize("kind", ["ast", "hubert", "wav2vec2", "data2vec"])
def test_features_are_the_means_over_time_of_the_peers_own_layers(saved, kind):
    folder, waveforms = saved(kind), clips(16_000)
    peer = of_peer(folder, kind, waveforms)
    with torch.no_grad():
        last = opened(folder, layers="last").embed(waveforms)
        first = opened(folder, layers=0).embed(waveforms)
        every = opened(folder, layers="weighted").embed(waveforms).unflatten(1, (4, 16))
        mean = opened(folder, layers="mean").embed(waveforms)
    torch.testing.assert_close(last, peer.last_hidden_state.mean(1), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(first, peer.hidden_states[0].mean(1), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(every[:, 3], last, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(every.mean(1), mean, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", ["clap", "whole clap"])
def test_features_of_clap_are_what_its_audio_tower_pools(saved, kind):
    folder, waveforms = saved(kind), clips(48_000)
    with torch.no_grad():
        ours = opened(folder, "clap").embed(waveforms)
    torch.testing.assert_close(ours, of_peer(folder, kind, waveforms), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["clap tower", "clap fusion"])
def test_the_audio_tower_alone_and_a_tower_with_fusion_are_opened_too(saved, kind):
    assert opened(saved(kind), "clap").embed(clips(48_000)).shape == (3, 16)


def test_opening_a_network_says_nothing(saved, caplog, capfd):
    with caplog.at_level(logging.INFO):
        opened(saved("whole clap"), "clap")
    assert caplog.text == "" and capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", AUDIO)
def test_a_checkpoint_builds_the_network_without_its_folder(saved, kind):
    first = opened(saved(kind), kind)
    again = opened("gone", kind, architecture=first.architecture)
    again.load_state_dict(first.state_dict())
    waveforms = clips(RATES.get(kind, 16_000))
    with torch.no_grad():
        assert torch.equal(again.eval()(waveforms), first(waveforms))
    assert not any(value.requires_grad for value in again.backbone.parameters())


def test_an_onnx_file_is_part_of_the_checkpoint(tmp_path):
    first = opened(str(write_onnx(tmp_path / "small.onnx")))
    again = opened("gone.onnx", architecture=first.architecture)
    again.load_state_dict(first.state_dict())
    with torch.no_grad():
        assert torch.equal(again.eval()(clips(16_000)), first(clips(16_000)))
    assert first.width == 6


def test_weights_over_layers_are_learnt_and_add_up_to_one(saved):
    network = opened(saved("hubert"), layers="weighted").train()
    (logits,) = (network(network.embed(clips(16_000))),)
    logits.square().sum().backward()
    assert network.head[0].weights.grad.abs().sum() > 0
    assert network.head[0](torch.ones(2, 64)).allclose(torch.ones(2, 16))


@pytest.mark.parametrize(("unfreeze", "learning"), [(0, 0), (1, 1), (3, 3)])
def test_the_last_blocks_can_learn_at_a_rate_of_their_own(saved, unfreeze, learning):
    network = opened(saved("hubert"), unfreeze=unfreeze, unfreeze_lr=1e-4)
    blocks = [all(value.requires_grad for value in block.parameters()) for block in network.backbone.blocks]
    assert blocks == [index >= 3 - learning for index in range(3)]
    assert [group.get("lr") for group in network.parameter_groups()] == [None, 1e-4][: 1 + bool(learning)]
    assert (network.feature_identity is None) == bool(learning)


@pytest.mark.parametrize("kind", AUDIO)
def test_low_rank_changes_are_zero_at_first_and_few(saved, kind):
    frozen, adapted = opened(saved(kind), kind), opened(saved(kind), kind, lora=2)
    adapted.head.load_state_dict(frozen.head.state_dict())
    waveforms = clips(RATES.get(kind, 16_000))
    assert adapted.fingerprint == frozen.fingerprint
    torch.testing.assert_close(adapted(waveforms), frozen(waveforms), atol=1e-6, rtol=1e-5)
    learning = [value for value in adapted.backbone.parameters() if value.requires_grad]
    everything = sum(value.numel() for value in adapted.backbone.parameters())
    assert learning and sum(value.numel() for value in learning) < 0.2 * everything
    adapted(waveforms).square().sum().backward()
    assert any(value.grad.abs().sum() > 0 for value in learning)


@pytest.mark.parametrize(
    ("kind", "values", "sentence"),
    [
        ("hubert", {"layers": 4}, "model.layers=4 exceeds 3"),
        ("hubert", {"unfreeze": 4}, "model.unfreeze=4 exceeds the 3 blocks"),
        ("clap", {"layers": "weighted"}, "model.layers=weighted needs the features of several layers"),
    ],
)
def test_values_that_a_network_does_not_have_are_refused_by_key(saved, kind, values, sentence):
    with pytest.raises(ValueError, match=sentence):
        opened(saved(kind), kind, **values)


def test_an_onnx_file_is_frozen(tmp_path):
    file = str(write_onnx(tmp_path / "small.onnx"))
    with pytest.raises(ValueError, match=r"model\.unfreeze=1 exceeds the 0 blocks"):
        opened(file, unfreeze=1)
    with pytest.raises(ValueError, match=r"model\.lora=2 adapts attention"):
        opened(file, lora=2)


def test_a_wrong_rate_and_a_long_window_name_the_remedy(saved):
    with pytest.raises(UserError, match=r"set spectrogram\.sample_rate=48000"):
        AudioBackbone(4, saved("clap"), 16_000, 2.0)
    with pytest.raises(UserError, match=r"view\.seconds=30 is longer .* set view=segments view\.seconds=2"):
        AudioBackbone(4, saved("ast"), 16_000, 30.0)


def test_pickled_weights_are_refused(saved, tmp_path):
    import transformers

    network = transformers.AutoModel.from_pretrained(saved("hubert"))
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((__import__("pathlib").Path(saved("hubert")) / name).read_bytes())
    torch.save(network.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="cannot be opened"):
        opened(str(tmp_path))


def test_missing_weights_are_a_user_error(saved, tmp_path):
    from pathlib import Path
    from shutil import copytree

    from safetensors.torch import load_file, save_file

    folder = copytree(Path(saved("hubert")), tmp_path / "cut")
    weights = load_file(folder / "model.safetensors")
    weights.pop(next(name for name in weights if "layers.1" in name))
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match="lacks weights of its network"):
        opened(str(folder))


@pytest.mark.parametrize("name", ["./gone", "/gone/network", "a/b/c"])
def test_a_folder_that_is_not_there_is_a_user_error(name):
    pytest.importorskip("transformers")
    with pytest.raises(UserError, match="is no folder"):
        opened(name)


def test_a_hub_that_cannot_be_reached_is_one_sentence_with_the_remedy(monkeypatch):
    transformers = pytest.importorskip("transformers")

    def unreachable(*_, **__):
        raise OSError("We couldn't connect to 'https://huggingface.co'\nto load the files")

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", unreachable)
    with pytest.raises(UserError, match=r"hf download some/network --local-dir FOLDER") as info:
        opened("some/network")
    assert "\n" not in str(info.value)


def test_a_network_of_another_kind_is_refused_by_its_extractor(saved, tmp_path):
    from pathlib import Path
    from shutil import copytree

    import transformers

    folder = copytree(Path(saved("hubert")), tmp_path / "other")
    transformers.WhisperFeatureExtractor().save_pretrained(folder)
    with pytest.raises(UserError, match="WhisperFeatureExtractor are not supported; known are those with AST"):
        opened(str(folder))


def test_without_transformers_the_extra_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r'transformers is not installed.*pip install "genre\[hub\]"'):
        opened("some/network")


def test_torchaudios_bundles_are_opened_by_name(monkeypatch):
    from torchaudio import pipelines
    from torchaudio.models import wav2vec2_model

    small = pipelines.HUBERT_BASE._params | {
        "extractor_conv_layer_config": [(8, 10, 160), (8, 3, 4)], "encoder_embed_dim": 16, "encoder_num_layers": 3,
        "encoder_num_heads": 2, "encoder_ff_interm_features": 16, "encoder_pos_conv_kernel": 4,
        "encoder_pos_conv_groups": 2,
    }  # fmt: skip
    bundle = pipelines.Wav2Vec2Bundle("small.pth", small, 16_000, True, "Wav2Vec2")
    torch.manual_seed(0)
    published = wav2vec2_model(**small).eval()
    monkeypatch.setattr(bundle, "_get_state_dict", lambda _: published.state_dict(), raising=False)
    monkeypatch.setattr(pipelines, "HUBERT_BASE", bundle)
    network = opened("torchaudio/HUBERT_BASE", layers="weighted")
    normalized = torch.nn.functional.layer_norm(clips(16_000)[:1, 0], (32_000,))
    with torch.no_grad():
        theirs = torch.cat([layer.mean(1) for layer in published.extract_features(normalized)[0]], dim=1)
        torch.testing.assert_close(network.embed(clips(16_000))[:1], theirs, atol=1e-5, rtol=1e-4)
    again = opened("torchaudio/HUBERT_BASE", layers="weighted", architecture=network.architecture)
    again.load_state_dict(network.state_dict())
    with pytest.raises(UserError, match=r"torchaudio/NONE is none of torchaudio's bundles: HUBERT_"):
        opened("torchaudio/NONE")


def test_a_bundle_that_cannot_be_downloaded_names_the_remedy(monkeypatch):
    from urllib.error import URLError

    from torchaudio import pipelines

    def offline(*_):
        raise URLError("no network")

    monkeypatch.setattr(type(pipelines.WAV2VEC2_BASE), "_get_state_dict", offline)
    monkeypatch.setattr("genre.models.torchaudio_bundles.bundle_model", lambda _: torch.nn.Identity())
    with pytest.raises(
        UserError, match=r"cannot be downloaded \(no network\); fetch https://download.*wav2vec2_fairseq"
    ):
        opened("torchaudio/WAV2VEC2_BASE")
