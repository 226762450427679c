"""Extractors from torch networks: in OpenVINO where that is faster and gives the same embeddings, else in torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mot_dinov3.core.compat import override
from mot_dinov3.core.structures import FloatArray, Image, ModelInfo
from mot_dinov3.core.structures.arrays import unit_rows
from mot_dinov3.features.base import EmbedderRequest, Extractor, cut
from mot_dinov3.features.network import LEAST_COSINE, NetworkExtractor, TorchRuntime, lowest_safe_precision
from mot_dinov3.models.conversion import CheckResult, ConversionSpec, Converted, convert_cached, photographs
from mot_dinov3.models.devices import DevicePlan, gpu_precisions, is_gpu, plan_run, resolve_precision
from mot_dinov3.models.openvino import Normalization, OpenVinoNetwork, convert
from mot_dinov3.models.pretrained import Preprocessing, read_json, read_preprocessing, resize_into

if TYPE_CHECKING:
    import torch

# People and a bus in the photographs that conversions are checked on: xyxy pixels, as a detector frames them.
CROPS = (
    ((50, 400, 245, 903), (223, 405, 345, 862), (669, 380, 809, 880), (22, 231, 805, 756)),
    ((123, 197, 1111, 711), (747, 41, 1142, 712), (437, 437, 524, 714), (780, 60, 1000, 330)),
)
VISION_TRANSFORMERS = ("dinov3_vit", "dinov2", "dinov2_with_registers", "clip", "clip_vision_model")
PERSON = (256, 128)  # height × width of a person's crop
FAR = 5  # each crop is embedded once more with every FARth pixel: people in the distance


@dataclasses.dataclass(frozen=True)
class LoadedNetwork:
    """A network with its weights: normalised ``(n, 3, h, w)`` to ``(n, d)``, float32, on the CPU.

    Convolutions run faster in the memory layout `channels_last`. `fix_size` makes the module, in place, one for inputs
    of this size alone, as a converted network is.
    """

    module: torch.nn.Module
    preprocessing: Preprocessing
    kind: str
    channels_last: bool = False
    fix_size: Callable[[], None] | None = None


@dataclasses.dataclass(frozen=True)
class NetworkSource:
    """Origin of a network: its embedder's name, the files that its content depends on, and what loads it.

    `torch_precision` is the meaning of ``auto`` in torch on a CPU; empty for what is fast there. `details` are plain
    JSON values. `size` is the ``(height, width)`` of the input of a convolutional network, which is converted once for
    all sizes. It is None where each size is converted on its own: tracing a vision transformer fixes its positions and
    its rows of patches as constants, and what a TorchScript file fixes is not known.
    """

    name: str
    files: Sequence[Path]
    load: Callable[[], LoadedNetwork]
    torch_precision: str = ""
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    size: tuple[int, int] | None = None


@dataclasses.dataclass(frozen=True)
class OpenedNetwork:
    """A network with its preprocessing, ready to embed, its description, and lines for the user."""

    extractor: Extractor
    info: ModelInfo
    notices: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)`` of the input."""
        height, width = self.info.details["size"]
        return height, width

    @property
    def is_square(self) -> bool:
        """Whether the input is square: then crops are, too."""
        height, width = self.size
        return height == width


def open_folder(
    name: str,
    request: EmbedderRequest,
    load: Callable[[Path, EmbedderRequest], LoadedNetwork],
    size_of: Callable[[Path, EmbedderRequest], tuple[int, int] | None] = lambda folder, request: None,
    **details: Any,
) -> OpenedNetwork:
    """Open a transformers model, given as a folder or by its hub id, as `open_network` does.

    A vision transformer without a size, neither in `request` nor in its own files but for a square one, gets `PERSON`.
    `load` loads the network from its folder, and `size_of` returns `NetworkSource.size` without that; the other
    arguments are those of `NetworkSource`.
    """
    folder = request.locate(request.model)
    wanted = request if request.size else dataclasses.replace(request, size=default_size(folder))
    files = sorted(path for path in folder.iterdir() if path.suffix in (".json", ".safetensors", ".bin"))
    size = size_of(folder, wanted)
    opened = open_network(NetworkSource(name, files, lambda: load(folder, wanted), details=details, size=size), wanted)
    height, width = opened.size
    if request.size not in (None, opened.size):
        asked = f"{request.size[0]}x{request.size[1]}"
        notice = f"crop_size {asked} is no whole number of patches of '{request.model}': its input is {height}x{width}"
        opened = dataclasses.replace(opened, notices=(*opened.notices, notice))
    return opened


def default_size(folder: Path) -> tuple[int, int] | None:
    """Return the ``(height, width)`` of crops for the model in `folder`; None for its own, which its files state.

    A transformer takes any size in whole patches, and people are upright; a network of another kind, or one that
    declares an input that is not square, keeps the one that it was trained with.
    """
    raw = read_json(folder / "config.json") or {}
    if raw.get("model_type") not in VISION_TRANSFORMERS:
        return None
    own = read_preprocessing(folder, side=PERSON[0])
    return PERSON if own.height == own.width else None


def open_network(source: NetworkSource, request: EmbedderRequest) -> OpenedNetwork:
    """Open a network on the device and in the precision that `request` asks for.

    Raises:
        ModelError: It cannot be loaded or does not fit.
        UsageError: The device, the precision or OpenVINO is not available.
    """
    plan = plan_run(request.device)
    notices = plan.notices
    spec = EmbedderConversion(source, request)
    if plan.openvino:
        result = convert_cached(spec, plan.openvino, obeyed=request.device.precision == "bf16")
        notices += result.notices
        if result.network is not None:
            size = spec.size(result.facts)
            details = {**result.facts, "size": list(size), **source.details}
            info = ModelInfo(source.name, request.model, "cpu", result.precision, details, "openvino")
            return OpenedNetwork(OpenVinoExtractor(result.network, *size), info, notices)
    return _in_torch(spec, plan, request, notices)


def _in_torch(
    spec: EmbedderConversion, plan: DevicePlan, request: EmbedderRequest, notices: tuple[str, ...]
) -> OpenedNetwork:
    loaded, wanted, source = spec.loaded(), request.device.precision, spec.source
    prepared = loaded.preprocessing
    on_gpu = is_gpu(plan.device)
    if wanted == "auto" and plan.device == "cpu" and source.torch_precision:
        wanted = source.torch_precision
    precision = "fp32" if on_gpu and wanted == "auto" else resolve_precision(wanted, plan.device)
    runtime = TorchRuntime(loaded.module, device=plan.device, precision=precision, channels_last=loaded.channels_last)
    extractor = NetworkExtractor(request.model, prepared, runtime)
    if on_gpu and wanted == "auto":
        runtime, precision = lowest_safe_precision(runtime, gpu_precisions(plan.device), prepared.batch(sample_crops()))
    if on_gpu:
        from mot_dinov3.features.device_crops import DeviceExtractor

        extractor = DeviceExtractor(request.model, prepared, runtime, batch=request.batch)
    details = {"kind": loaded.kind, "size": [prepared.height, prepared.width], **source.details}
    info = ModelInfo(source.name, request.model, plan.device, precision, details, "torch")
    return OpenedNetwork(extractor, info, notices)


class EmbedderConversion(ConversionSpec):
    """Conversion of an embedder's network, checked on crops of photographs."""

    libraries: Sequence[str] = ("transformers",)

    def __init__(self, source: NetworkSource, request: EmbedderRequest) -> None:
        self.source = source
        self.name = request.model
        self.files = source.files
        self.options: Mapping[str, Any] = {
            "kind": source.name,
            "files": [path.name for path in source.files],
            "size": request.size if source.size is None else "any",
            **source.details,
            "trust": request.device.trust_weights,
        }
        if source.size is not None:
            self.situation = "size {}x{}".format(*source.size)
        self._loaded: LoadedNetwork | None = None

    def loaded(self) -> LoadedNetwork:
        """Return the original, loaded once.

        Raises:
            ModelError: It cannot be loaded.
        """
        if self._loaded is None:
            self._loaded = self.source.load()
        return self._loaded

    @override
    def convert(self) -> Converted:
        self._original()  # refuses what gives nothing usable
        loaded = self.loaded()
        prepared = loaded.preprocessing
        size = (prepared.height, prepared.width)
        takes_any = self.source.size is not None
        if loaded.fix_size is not None:
            loaded.fix_size()
        mean, std = (tuple(value / prepared.scale for value in values) for values in (prepared.mean, prepared.std))
        model = convert(loaded.module, Normalization(mean, std), example=size, size=None if takes_any else size)
        return Converted(model, {"kind": loaded.kind} if takes_any else {"kind": loaded.kind, "size": list(size)})

    def size(self, facts: Mapping[str, Any]) -> tuple[int, int]:
        """Return the ``(height, width)`` of the input of the converted network with these facts."""
        height, width = self.source.size or facts["size"]
        return height, width

    @override
    def check(self, network: OpenVinoNetwork, facts: Mapping[str, Any]) -> CheckResult:
        crops = sample_crops()
        wanted = unit_rows(self._original().extract(crops))
        given = unit_rows(OpenVinoExtractor(network, *self.size(facts)).extract(crops))
        least = float(np.einsum("nd,nd->n", wanted, given).min())
        return CheckResult(least >= LEAST_COSINE, f"the cosine to the original embedding is {least:.4f} at minimum")

    def _original(self) -> NetworkExtractor:
        loaded = self.loaded()
        runtime = TorchRuntime(loaded.module, device="cpu", precision="fp32", channels_last=loaded.channels_last)
        return NetworkExtractor(self.name, loaded.preprocessing, runtime)


class OpenVinoExtractor(Extractor):
    """An `Extractor` made of a converted network, which prepares the pixels itself, for input of one size."""

    def __init__(self, network: OpenVinoNetwork, height: int, width: int) -> None:
        self._network = network
        self._size = (height, width)

    @override
    def extract(self, crops: Sequence[Image]) -> FloatArray:
        pixels = resize_into(crops, *self._size)
        rows, start = [], 0
        # Every new number of images costs a preparation of its own, so only powers of two are ever used.
        while start < len(pixels):
            count = 1 << ((len(pixels) - start).bit_length() - 1)
            features = self._network.run(pixels[start : start + count])[0]
            rows.append(np.array(features, np.float32).reshape(count, -1))
            start += count
        return np.concatenate(rows)


def sample_crops() -> list[Image]:
    """Return crops of photographs, near and far."""
    near = [crop for image, windows in zip(photographs(), CROPS) for crop in cut(image, np.array(windows, np.int64))]
    return near + [np.ascontiguousarray(crop[::FAR, ::FAR]) for crop in near]
