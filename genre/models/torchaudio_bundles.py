"""torchaudio's published networks: wav2vec 2.0, HuBERT and WavLM, ``model.name=torchaudio/HUBERT_BASE``."""

import pickle
from typing import Any
from urllib.error import URLError

import torch.nn.functional as F
from torch import Tensor

from genre.errors import UserError
from genre.models.published import AudioNetwork

BUNDLE_PREFIX = "torchaudio/"


class BundleNetwork(AudioNetwork):
    """A network of one of torchaudio's bundles.

    Args:
        name: of the bundle.
        published: True to load its published weights; False for random ones.

    Raises:
        UserError: if there is no such bundle, or its weights cannot be downloaded.
    """

    def __init__(self, name: str, published: bool) -> None:
        super().__init__()
        bundle = find_bundle(name)
        self.architecture = {"kind": "torchaudio", "bundle": name}
        self.sample_rate, self.normalized = int(bundle.sample_rate), bundle._normalize_waveform
        self.network = bundle_model(bundle)
        self.network.aux = None  # logits of letters
        if published:
            weights = download_bundle(name, bundle)
            self.network.load_state_dict({key: v for key, v in weights.items() if not key.startswith("aux.")})
        self.network.eval()
        params = bundle._params
        self.widths = [params["encoder_embed_dim"]] * params["encoder_num_layers"]

    def forward(self, waveform: Tensor) -> list[Tensor]:
        """(batch, samples) in [-1, 1] -> per layer the mean over time, (batch, width)."""
        if self.normalized:
            waveform = F.layer_norm(waveform, waveform.shape[1:])
        layers: list[Tensor] = self.network.extract_features(waveform)[0]
        return [layer.float().mean(dim=1) for layer in layers]


def find_bundle(name: str) -> Any:
    """Return a bundle of torchaudio by its name.

    Raises:
        UserError: if there is none.
    """
    from torchaudio import pipelines

    kinds = (pipelines.Wav2Vec2Bundle, pipelines.Wav2Vec2ASRBundle)
    known = sorted(key for key, value in vars(pipelines).items() if isinstance(value, kinds))
    if name not in known:
        raise UserError(f"model.name={BUNDLE_PREFIX}{name} is none of torchaudio's bundles: {', '.join(known)}")
    return getattr(pipelines, name)


def bundle_model(bundle: Any) -> Any:
    """A bundle's network with random weights; its public method would download those that are published."""
    from torchaudio.models import wav2vec2_model, wavlm_model

    return (wavlm_model if bundle._model_type == "WavLM" else wav2vec2_model)(**bundle._params)


def download_bundle(name: str, bundle: Any) -> dict[str, Tensor]:
    """The published weights of a bundle, from PyTorch's cache or downloaded.

    Raises:
        UserError: if the download fails.
    """
    try:
        weights: dict[str, Tensor] = bundle._get_state_dict({"weights_only": True, "map_location": "cpu"})
    except (URLError, OSError, RuntimeError, pickle.PickleError) as error:
        reason = getattr(error, "reason", error)
        raise UserError(
            f"the weights of model.name={BUNDLE_PREFIX}{name} cannot be downloaded ({reason}); fetch "
            f"https://download.pytorch.org/torchaudio/models/{bundle._path} elsewhere into "
            "~/.cache/torch/hub/checkpoints, or choose a local folder"
        ) from None
    return weights
