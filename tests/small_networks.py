"""Small networks with random weights, written in the formats in which the published ones lie on the disk."""

from pathlib import Path

import pytest
import torch

LAYERS = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 16}
WAVES = {
    "conv_dim": (8, 8), "conv_kernel": (10, 3), "conv_stride": (160, 4), "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2, "num_feat_extract_layers": 2,
}  # fmt: skip
AUDIO = ["ast", "hubert", "wav2vec2", "data2vec", "clap"]
RATES = {"clap": 48_000}


def write_network(kind: str, folder: Path) -> Path:
    """Write a small network of transformers, and its feature extractor, as ``save_pretrained`` does."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    network, extractor = make_network(transformers, kind)
    network.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return folder


def make_network(transformers, kind):
    waves = transformers.Wav2Vec2FeatureExtractor
    if kind == "hubert":
        return transformers.HubertModel(transformers.HubertConfig(**LAYERS, **WAVES)), waves()
    if kind == "wav2vec2":
        return transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**LAYERS, **WAVES)), waves(do_normalize=False)
    if kind == "data2vec":
        config = transformers.Data2VecAudioConfig(**LAYERS, **WAVES | {"num_conv_pos_embeddings": 2})
        return transformers.Data2VecAudioModel(config), waves()
    if kind == "ast":
        strides = {"frequency_stride": 16, "time_stride": 16}
        config = transformers.ASTConfig(**LAYERS, **strides, max_length=224, num_mel_bins=32)
        return transformers.ASTModel(config), transformers.ASTFeatureExtractor(max_length=224, num_mel_bins=32)
    fusion = kind == "clap fusion"
    config = clap_config(transformers, fusion)
    truncation = "fusion" if fusion else "rand_trunc"
    extractor = transformers.ClapFeatureExtractor(feature_size=16, truncation=truncation, max_length_s=2)
    if kind == "whole clap":
        words = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 50}
        both = transformers.ClapConfig(audio_config=config.to_dict(), text_config=words, projection_dim=8)
        return transformers.ClapModel(both), extractor
    if kind == "clap tower":
        return transformers.ClapAudioModel(config), extractor
    return transformers.ClapAudioModelWithProjection(config), extractor


def clap_config(transformers, fusion: bool):
    return transformers.ClapAudioConfig(
        patch_embeds_hidden_size=8, depths=[1, 1], num_attention_heads=[1, 2], num_hidden_layers=2, hidden_size=16,
        spec_size=64, num_mel_bins=16, patch_size=4, window_size=4, projection_dim=8, enable_fusion=fusion,
        aff_block_r=2,
    )  # fmt: skip


def write_timm(file: Path, name: str = "resnet10t") -> Path:
    """Write the weights of a network of timm as they lie on the hub, its classifier included."""
    timm = pytest.importorskip("timm")
    from safetensors.torch import save_file

    torch.manual_seed(0)
    save_file(timm.create_model(name, pretrained=False).state_dict(), file)
    return file


def write_onnx(file: Path) -> Path:
    """Write a network that hears waveforms as an ONNX file."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    kernel = torch.randn(6, 1, 64, generator=torch.Generator().manual_seed(0)).numpy()
    nodes = [
        helper.make_node("Unsqueeze", ["waveform", "axis"], ["channels"]),
        helper.make_node("Conv", ["channels", "kernel"], ["maps"], strides=[32]),
        helper.make_node("Abs", ["maps"], ["levels"]),
        helper.make_node("Transpose", ["levels"], ["features"], perm=[0, 2, 1]),
    ]
    inputs = [helper.make_tensor_value_info("waveform", kind, ["batch", "samples"])]
    outputs = [helper.make_tensor_value_info("features", kind, ["batch", "time", 6])]
    constants = [
        onnx.numpy_helper.from_array(kernel, "kernel"),
        helper.make_tensor("axis", onnx.TensorProto.INT64, [1], [1]),
    ]
    graph = helper.make_graph(nodes, "small", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    file.write_bytes(model.SerializeToString())
    return file
