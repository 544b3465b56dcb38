"""Audio networks of the package transformers: from a local folder or the Hugging Face hub, without code from there."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from genre.errors import UserError
from genre.extras import import_extra
from genre.models.published import AudioNetwork, hub_failure, local_folder
from genre.transforms.extractors import EXTRACTORS

UNTRAINED = ("masked_spec_embed",)  # weights that some checkpoints lack, and inference does not use
CLAP_TOWER = "clap_audio_model"


class TransformersNetwork(AudioNetwork):
    """A network whose feature extractor is known here: AST, CLAP, HuBERT, wav2vec 2.0, data2vec.

    Args:
        network: of transformers.
        architecture: its configuration and that of its feature extractor.
    """

    def __init__(self, network: nn.Module, architecture: Mapping[str, Any]) -> None:
        super().__init__()
        self.network, self.architecture = network, dict(architecture)
        self.input = EXTRACTORS[architecture["extractor"]["feature_extractor_type"]](architecture["extractor"])
        self.sample_rate, self.seconds = self.input.sample_rate, self.input.seconds
        self.pools = architecture["config"]["model_type"] == CLAP_TOWER  # its layers have widths of their own
        config: Any = network.config
        self.widths = [config.hidden_size] * (1 if self.pools else config.num_hidden_layers + 1)

    def forward(self, waveform: Tensor) -> list[Tensor]:
        """(batch, samples) in [-1, 1] -> per layer the mean over time, (batch, width); CLAP's own pooling alone."""
        with torch.autocast(waveform.device.type, enabled=False):
            inputs = self.input(waveform.float())
        if self.pools:
            return [self.network(**inputs).pooler_output.float()]
        result = self.network(**inputs, output_hidden_states=True)
        layers = [*result.hidden_states[:-1], result.last_hidden_state]
        return [layer.float().mean(dim=1) for layer in layers]


def open_transformers(name: str) -> TransformersNetwork:
    """Open a network with its published weights.

    Args:
        name: a folder that ``save_pretrained`` wrote, or a name on the Hugging Face hub.

    Raises:
        UserError: if it cannot be had, lacks weights, or is of no supported kind.
    """
    transformers = import_extra("transformers", "hub", "networks by name")
    source = local_folder("model.name", name) or name
    with quiet_transformers(transformers):
        try:
            config = transformers.AutoConfig.from_pretrained(source, trust_remote_code=False)
            extractor = transformers.AutoFeatureExtractor.from_pretrained(source, trust_remote_code=False)
            architecture = plain_architecture(config, extractor.to_dict())
            network_class = class_of(transformers, architecture, getattr(config, "architectures", None))
            network, loading = network_class.from_pretrained(
                source, use_safetensors=True, trust_remote_code=False, dtype=torch.float32, output_loading_info=True,
                attn_implementation=attention_of(architecture),
            )  # fmt: skip
        except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
            raise hub_failure("model.name", name, error, "set model.name to FOLDER") from error
    missing = sorted(key for key in loading["missing_keys"] if not key.endswith(UNTRAINED))
    if missing or loading["mismatched_keys"]:
        raise UserError(f"model.name={name} lacks weights of its network ({(missing or ['other shapes'])[0]}, …)")
    return TransformersNetwork(getattr(network, "audio_model", network), architecture)


def build_transformers(architecture: Mapping[str, Any]) -> TransformersNetwork:
    """Build a network with random weights from what a checkpoint carries."""
    transformers = import_extra("transformers", "hub", "networks by name")
    config = transformers.AutoConfig.for_model(**architecture["config"])
    with quiet_transformers(transformers):
        if isinstance(config, transformers.ClapAudioConfig):
            return TransformersNetwork(transformers.ClapAudioModel(config), architecture)
        attention = attention_of(architecture)
        network = transformers.AutoModel.from_config(config, attn_implementation=attention, trust_remote_code=False)
        return TransformersNetwork(network, architecture)


def attention_of(architecture: Mapping[str, Any]) -> str:
    """The implementation of attention; a checkpoint's own word for it is not heard."""
    return "eager" if architecture["config"]["model_type"] == CLAP_TOWER else "sdpa"


def plain_architecture(config: Any, extractor: Mapping[str, Any]) -> dict[str, Any]:
    """What builds a network again, as plain values: of CLAP, the audio tower's part.

    Raises:
        UserError: if its input is none of those that are known here.
    """
    kind = str(extractor.get("feature_extractor_type"))
    if kind not in EXTRACTORS:
        raise UserError(f"networks with {kind} are not supported; known are those with {', '.join(EXTRACTORS)}")
    tower = getattr(config, "audio_config", config)
    return {"kind": "transformers", "config": json.loads(tower.to_json_string()), "extractor": json_values(extractor)}


def json_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are plain."""
    return {key: value for key, value in values.items() if isinstance(value, str | int | float | bool | None)}


def class_of(transformers: Any, architecture: Mapping[str, Any], saved_as: list[str] | None) -> Any:
    """The class that loads a network's audio part.

    Args:
        saved_as: the classes that wrote the weights.
    """
    if architecture["config"]["model_type"] != CLAP_TOWER:
        return transformers.AutoModel
    alone = saved_as == ["ClapAudioModel"]
    return transformers.ClapAudioModel if alone else transformers.ClapAudioModelWithProjection


@contextmanager
def quiet_transformers(transformers: Any) -> Iterator[None]:
    """Silence transformers, which reports each file that it reads; what matters here becomes an error."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
