"""Embedder weights in other forms: TorchScript, ONNX, OpenVINO, TensorRT, TFLite; each checked against its source."""

from mot_dinov3.apps.export.config import FORMATS, ExportOptions
from mot_dinov3.apps.export.exporter import ExportResult, export

__all__ = ["FORMATS", "ExportOptions", "ExportResult", "export"]
