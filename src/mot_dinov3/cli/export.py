"""`export`: embedder weights to TorchScript, ONNX, OpenVINO, TensorRT, TFLite."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from mot_dinov3.apps.export import FORMATS, ExportOptions, export
from mot_dinov3.cli import print_error
from mot_dinov3.cli.arguments import add_list, option_values
from mot_dinov3.core.errors import EXIT_OK, ModelError
from mot_dinov3.core.options import assemble
from mot_dinov3.features.osnet import ARCHITECTURES, WEIGHTS

USAGE = "--embed-model MODEL [--include FORMAT ...] [options]"
DESCRIPTION = (
    "Export an embedder's weights to other formats; each file is loaded again and compared with its "
    "source. All take ImageNet-normalised RGB and are accepted by --embed-model of track, with "
    "--embedder osnet, and of gallery. If a format fails, the others are still written, and the exit code is not 0."
)
OPTIONS = ExportOptions
LISTS = {"reid-models": ARCHITECTURES, "reid-weights": WEIGHTS}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to `parser`."""
    include = next(action for action in parser._actions if action.dest == "include")
    include.nargs = "+"
    add_list(parser, "formats", format_lines(), help="print the formats and their missing requirements and exit")


def run(args: argparse.Namespace) -> int:
    """Export, print the written files, and return the exit code."""
    values = option_values(args, ExportOptions)
    if not isinstance(values.get("include", ""), str):
        values["include"] = " ".join(values["include"])
    result = export(assemble(ExportOptions, values), notify=lambda text: print(text, file=sys.stderr))
    for file in result.exported:
        print(f"{file.format:<12}{file.path} ({file.bytes / 1e6:.1f} MB, cosine error {file.max_cosine_error:.1e})")
    for error in result.failures.values():
        print_error(error)
    return ModelError.exit_code if result.failures else EXIT_OK


def format_lines() -> Iterator[str]:
    """Yield a line per format: its name, its suffix, and how to install missing requirements."""
    for name, kind in FORMATS.items():
        yield f"{name:<12}{kind.ending:<18}{f'needs: {kind.install}' if kind.missing() else 'ready'}"
