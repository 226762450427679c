"""ResNet's pooled features."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from mot_dinov3.features.base import CropEmbedder, EmbedderRequest
from mot_dinov3.features.loading import LoadedNetwork, NetworkSource, folder_files, open_network
from mot_dinov3.models.pretrained import load_weights, read_config, read_preprocessing

SIDE = 224

# Features after a ReLU are never negative, so that any two pictures are fairly alike. Not measured on tracks.
SAME_FLOOR = 0.5


class ResnetEmbedder(CropEmbedder):
    """Embeds with the average-pooled last map of a ResNet.

    He et al.: Deep Residual Learning for Image Recognition, CVPR 2016.

    Args:
        request: Of which `pooling` does not matter.

    Raises:
        ModelError: The model cannot be had or does not fit.
    """

    def __init__(self, request: EmbedderRequest) -> None:
        folder = request.locate(request.model)
        source = NetworkSource("resnet", folder_files(folder), lambda: _load(folder, request))
        opened = open_network(source, request)
        super().__init__(opened.extractor, request, info=opened.info, same_floor=SAME_FLOOR, square=True)
        self.notices = opened.notices


def _load(folder: Path, request: EmbedderRequest) -> LoadedNetwork:
    import transformers  # seconds: only once the model is known to be at hand, and only where it must be loaded

    from mot_dinov3.features.pooling import Pooled

    config = read_config(folder, request.model, ("resnet",))
    network = load_weights(transformers.ResNetModel, config, folder, request.model)
    preprocessing = read_preprocessing(folder, side=SIDE)
    height, width = request.size or (preprocessing.height, preprocessing.width)
    preprocessing = dataclasses.replace(preprocessing, height=height, width=width)
    return LoadedNetwork(Pooled(network), preprocessing, config.model_type, channels_last=True)
