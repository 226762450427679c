"""Export of embedder weights to TorchScript, ONNX, OpenVINO, TensorRT and TFLite; each is compared with its source."""

from mot_dinov3.apps.export.config import FORMATS, ExportOptions
from mot_dinov3.apps.export.exporter import ExportResult, export

__all__ = ["FORMATS", "ExportOptions", "ExportResult", "export"]
