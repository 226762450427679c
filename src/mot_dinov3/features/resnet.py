"""ResNet's pooled features."""

from __future__ import annotations

from pathlib import Path

from mot_dinov3.features.base import CropEmbedder, EmbedderRequest
from mot_dinov3.features.loading import LoadedNetwork, open_folder
from mot_dinov3.models.pretrained import Preprocessing, load_weights, read_config, read_preprocessing

SIDE = 224

# Features after a ReLU are never negative, so that any two images are fairly alike. Not measured on tracks.


class ResnetEmbedder(CropEmbedder):
    """Embeds with the average-pooled last map of a ResNet.

    He et al.: Deep Residual Learning for Image Recognition, CVPR 2016.

    Raises:
        ModelError: The model is not available or does not fit.
    """

    def __init__(self, request: EmbedderRequest) -> None:
        opened = open_folder("resnet", request, _load, _size)
        super().__init__(opened.extractor, request, info=opened.info, square=opened.is_square)
        self.notices = opened.notices


def _load(folder: Path, request: EmbedderRequest) -> LoadedNetwork:
    import transformers  # seconds: only once the model is known to be available, and only where it must be loaded

    from mot_dinov3.features.vision_networks import Reduced

    config = read_config(folder, request.model, ("resnet",))
    network = load_weights(transformers.ResNetModel, config, folder, request.model)
    module = Reduced(network, lambda network, pixels: network(pixel_values=pixels).pooler_output.flatten(1))
    return LoadedNetwork(module, _preprocessing(folder, request), config.model_type, channels_last=True)


def _preprocessing(folder: Path, request: EmbedderRequest) -> Preprocessing:
    return read_preprocessing(folder, side=SIDE).resized(request.size)


def _size(folder: Path, request: EmbedderRequest) -> tuple[int, int]:
    found = _preprocessing(folder, request)
    return found.height, found.width
