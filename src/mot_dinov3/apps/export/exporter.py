"""The export: writes each format, loads the file again, and compares it with its source."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mot_dinov3.apps.export.config import FORMATS, ExportConfig, ExportOptions
from mot_dinov3.core import files
from mot_dinov3.core.errors import ModelError, MotError, UsageError, first_line
from mot_dinov3.core.output_lock import OutputLocks
from mot_dinov3.core.structures import FloatArray, Image
from mot_dinov3.core.structures.arrays import unit_rows
from mot_dinov3.features.factory import DEFAULT_MODELS, REID, EmbedderConfig, build_embedder
from mot_dinov3.features.network import NetworkExtractor, TorchRuntime
from mot_dinov3.models.devices import DeviceConfig
from mot_dinov3.models.weights import find_reid_weights

if TYPE_CHECKING:
    from mot_dinov3.apps.export.writers import ExportSource

SCHEMA = "export-v1"
META = "export_meta.json"
LIMITS = {False: 1e-3, True: 1e-2}  # largest cosine error of a good export, in full and in half precision
NOISE = 5  # random images to compare on, beside the real ones
# What the exporters' libraries raise for a network that they cannot express.
REFUSALS = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError, ImportError)

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class ExportedFile:
    """An exported file or folder; `max_cosine_error` is the largest 1 − cosine of its embeddings to the source's."""

    format: str
    path: Path
    bytes: int
    max_cosine_error: float


@dataclasses.dataclass(frozen=True)
class ExportResult:
    """The run folder, the written files, and format → error of the failed ones: the others are written nevertheless."""

    folder: Path
    exported: tuple[ExportedFile, ...]
    failures: dict[str, MotError]


def export(options: ExportOptions, *, notify: Callable[[str], None] = log.info) -> ExportResult:
    """Export weights to all wanted formats; `notify` is called with a text at every step.

    Raises:
        UsageError: The output cannot be written, or the device does not exist.
        ModelError: The weights cannot be loaded, or are not a torch network.
    """
    config = options.export_job
    folder = Path(config.out_dir) / config.name
    files.check_output(folder / META, within=Path(config.out_dir))
    with OutputLocks([folder / META]):
        return _export_to(folder, config, notify)


def _export_to(folder: Path, config: ExportConfig, notify: Callable[[str], None]) -> ExportResult:
    started = time.monotonic()
    failures: dict[str, MotError] = {}
    for name in config.formats:
        if missing := FORMATS[name].missing():
            failures[name] = ModelError(
                f"format '{name}' cannot be made without {' and '.join(missing)}", remedy=FORMATS[name].install
            )
    if len(failures) == len(config.formats):
        return ExportResult(folder, (), failures)
    notify(f"loading {config.embed_model}")
    network = _load(config)
    exported = []
    for name in config.formats:
        if name in failures:
            continue
        notify(f"writing {name}")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of tracers, about constants: the results are compared anyway
                exported.append(_export_format(name, config, network, folder))
        except (ModelError, UsageError) as error:
            failures[name] = error
    meta = _meta(config, network, exported, failures, time.monotonic() - started)
    with files.replacing(folder / META) as part:
        part.write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")
    return ExportResult(folder, tuple(exported), {name: failures[name] for name in config.formats if name in failures})


@dataclasses.dataclass(frozen=True)
class _Network:
    """The network to export, its names, and its embeddings of the images on which exports are compared."""

    source: ExportSource
    kind: str
    weights: str
    images: Sequence[Image]
    rows: FloatArray


def _load(config: ExportConfig) -> _Network:
    from mot_dinov3.apps.export.writers import ExportSource, Renormalised  # needs torch
    from mot_dinov3.features.loading import sample_crops

    embedder, model = config.network
    if model and embedder in REID:
        model = find_reid_weights(model, Path(config.models_dir))
    device = DeviceConfig(device=config.device, precision="fp32", accel="torch", trust_weights=config.trust_weights)
    built = build_embedder(EmbedderConfig(embedder=embedder, embed_model=model or None), device=device)
    extractor = getattr(built, "extractor", None)
    runtime = extractor.runtime if isinstance(extractor, NetworkExtractor) else None
    kind = str(built.info.details.get("kind", built.info.name))
    if not isinstance(extractor, NetworkExtractor) or not isinstance(runtime, TorchRuntime) or kind == "torchscript":
        raise ModelError(
            f"'{config.embed_model}' is not a torch network that can be exported ({kind})",
            remedy="give the .pt or .pth checkpoint, or one of the embedders " + ", ".join(DEFAULT_MODELS),
        )
    import torch

    prepared = extractor.preprocessing
    module = Renormalised(runtime.module, prepared).eval().to(built.info.device)
    module = module.to(memory_format=torch.contiguous_format)
    source = ExportSource(module, (prepared.height, prepared.width), built.info.device, config)
    noise = np.random.default_rng(0).integers(0, 256, (NOISE, 96, 48, 3), np.uint8)
    images = [*noise, *sample_crops()]
    rows = unit_rows(np.concatenate([extractor.extract([image]) for image in images]))
    return _Network(source, kind, model or DEFAULT_MODELS[embedder], images, rows)


def _export_format(name: str, config: ExportConfig, network: _Network, folder: Path) -> ExportedFile:
    """Write a format under a temporary name, check it, and put it in its place.

    Raises:
        ModelError: It cannot be written or loaded again, or its embeddings differ.
        UsageError: It does not support an option.
    """
    from mot_dinov3.apps.export.writers import write

    ending = FORMATS[name].ending
    path = folder / f"{config.name}{ending}"
    part = folder / f".{config.name}.part{ending}"
    _remove(part)
    try:
        with files.writing(path):
            try:
                write(name, network.source, part)
            except REFUSALS as error:
                log.debug("format '%s'", name, exc_info=True)
                raise ModelError(
                    f"format '{name}' cannot be made of this network: {first_line(error)}",
                    remedy="choose another format; --debug shows the details",
                ) from error
            worst, limit = _cosine_error(name, part, network), LIMITS[config.half]
            if not worst <= limit:
                raise ModelError(
                    f"format '{name}' is not accurate: cosine error {worst:.2g}, more than {limit:g}",
                    remedy="choose another format, or leave out --half" if config.half else "choose another format",
                )
            _remove(path)
            part.replace(path)
        parts = [path] if path.is_file() else list(path.iterdir())
        return ExportedFile(name, path, sum(part.stat().st_size for part in parts), worst)
    finally:
        _remove(part)


def _cosine_error(name: str, path: Path, network: _Network) -> float:
    """Load an exported file as a user would, and return its largest cosine error."""
    source = network.source
    height, width = source.size
    config = EmbedderConfig(embedder="osnet", embed_model=str(path), crop_size=f"{height}x{width}")
    where = source.device if name in ("torchscript", "engine") else "auto"
    # Our own archive may contain operators (of a mobile CPU) that are not accepted in untrusted ones.
    device = DeviceConfig(device=where, precision="fp32", accel="torch", trust_weights=True)
    rows = build_embedder(config, device=device).embed_images(network.images)
    if rows.shape != network.rows.shape:
        raise ModelError(f"format '{name}' gives embeddings of length {rows.shape[1]}, not {network.rows.shape[1]}")
    return max(float(1 - np.einsum("nd,nd->n", rows, network.rows, dtype=np.float64).min()), 0.0)


def _meta(
    config: ExportConfig,
    network: _Network,
    exported: Sequence[ExportedFile],
    failures: dict[str, MotError],
    seconds: float,
) -> dict[str, Any]:
    source = network.source
    return {
        "schema_version": SCHEMA,
        "source_weights": network.weights,
        "model_name": network.kind,
        "device": source.device,
        "half": config.half,
        "dynamic": config.dynamic,
        "simplify": config.simplify,
        "opset": config.opset,
        "imgsz": list(source.size),
        "batch_size": config.batch_size or 1,
        "dynamic_batch": config.batch_size is None,
        "include": list(config.formats),
        "elapsed_sec": round(seconds, 3),
        "outputs": {file.format: file.path.name for file in exported},
        "max_cosine_error": {file.format: file.max_cosine_error for file in exported},
        "failed": {name: error.message for name, error in failures.items()},
    }


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
