"""Interface of the detectors, their options, and their construction from a request."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import ConfigError, GatedModelError, UnreachableModelError, UnsupportedModelError
from mot_dinov3.core.options import StageConfig, option
from mot_dinov3.core.registry import check_members, entry_point, resolve, split_reference
from mot_dinov3.core.structures import Detections, Frame, ModelInfo, VideoInfo
from mot_dinov3.core.timing import activity
from mot_dinov3.detectors import DETECTORS
from mot_dinov3.formats.recorded_detections import ReadOptions
from mot_dinov3.models.conversion import Samples
from mot_dinov3.models.devices import DeviceConfig
from mot_dinov3.models.hub import OPEN_DETECTOR

if TYPE_CHECKING:
    from mot_dinov3.detectors.motion import MotionConfig

DEFAULT_CONF = 0.3
DEFAULT_IMGSZ = 960
DEFAULT_MODELS = {"yolo": "yolov8n.pt", "rtdetr": OPEN_DETECTOR}
"""Models of the detectors that have one."""


@dataclasses.dataclass(frozen=True)
class DetectorConfig(StageConfig):
    """Options of the detector."""

    group = "detector"

    det: str | None = option(
        None,
        f"YOLO weights (default {DEFAULT_MODELS['yolo']}): a file or an official model's name; rtdetr or "
        "rtdetr:HUB_ID; motion (no weights, fixed camera); recorded (with --dets); or your own package.module:Class",
        common=True,
    )
    dets: str | None = option(
        None,
        "precomputed detections instead: det-v1 JSON, MOTChallenge det.txt, CVAT, COCO, YOLO",
        metavar="FILE",
        common=True,
        aliases=("dets_json",),
    )
    strict: bool = option(False, "refuse --dets with a row that cannot be used (default: it is left out and counted)")
    conf: float | None = option(
        None,
        f"confidence threshold (default {DEFAULT_CONF}; track: weaker boxes, down to --low-score, continue tracks; "
        "precomputed detections: no limit)",
        low=0,
        high=1,
        common=True,
    )
    imgsz: int | None = option(
        None,
        f"longer side of the detector's input image, in pixels (default {DEFAULT_IMGSZ}; rtdetr: the model's own)",
        low=1,
        common=True,
    )
    classes: str = option(
        "", 'class ids or names to keep, e.g. "0" or "person,car" (empty: all)', metavar="CSV", common=True
    )

    @override
    def check(self) -> None:
        name, model = self.chosen()
        if name == "recorded" and self.dets is None:
            raise ConfigError("det 'recorded' needs the file of detections", remedy="give it with --dets FILE")
        if model and name in DETECTORS and name not in DEFAULT_MODELS and self.dets is None:
            raise ConfigError(f"det '{self.det}': '{name}' has no model to choose", remedy=f"give --det {name}")

    def chosen(self) -> tuple[str, str]:
        """Return the name of the detector and its model: weights, hub id or file; precomputed detections win."""
        if self.dets is not None:
            return "recorded", self.dets
        det = DEFAULT_MODELS["yolo"] if self.det is None else self.det
        name, _, model = det.partition(":")
        if name in DETECTORS:
            return name, model or DEFAULT_MODELS.get(name, "")
        if not Path(det).expanduser().exists():
            if (own := split_reference(det)) is not None:
                return own
            if name.isidentifier() and entry_point("detector", name) is not None:
                return name, model
        return "yolo", det

    def reported(self, backend: str, classes: tuple[int, ...] | None, **more: Any) -> dict[str, Any]:
        """Return the parameters that files report of a detector, as `ModelInfo.details`."""
        kept = None if classes is None else list(classes)
        return {"backend": backend, "classes": kept, "conf_thresh": self.threshold, **more}

    @property
    def threshold(self) -> float:
        """The confidence threshold of a detector that computes scores."""
        return DEFAULT_CONF if self.conf is None else self.conf

    @property
    def side(self) -> int:
        """The wanted longer side in pixels, for a detector without one of its own."""
        return DEFAULT_IMGSZ if self.imgsz is None else self.imgsz


@dataclasses.dataclass(frozen=True)
class DetectorRequest:
    """All that a detector is built from: the only argument of its constructor, also of a user's own class.

    Attributes:
        config: Confidence threshold, input size and classes; `parse_classes` reads these.
        device: Device to run on, not resolved yet: a weight-free detector need not import torch.
        model: Weights, hub id or file: what follows the detector's name, or its default; empty where there is none.
        motion: Parameters of ``motion``; None for their defaults.
        samples: Images of the source, on which a converted network is checked.
        source: What precomputed detections are read with: size and images of the source.
    """

    config: DetectorConfig
    device: DeviceConfig
    model: str = ""
    motion: MotionConfig | None = None
    samples: Samples = dataclasses.field(default_factory=Samples)
    source: ReadOptions = dataclasses.field(default_factory=ReadOptions)


class Detector(Protocol):
    """Finds objects in one frame at a time, frames coming in order. A class of one's own derives from it.

    Attributes:
        info: The loaded model.
        names: Class id → class name; empty where unknown.
        notices: Lines for the user: fallbacks taken.
        header: Top-level keys of det-v1 that precomputed detections pass on.
        is_recorded: The boxes were made before: finding them again costs nothing and needs no image.
        is_stateful: The boxes of a frame depend on the frames before it, so that each one must be seen.
    """

    info: ModelInfo
    names: Mapping[int, str]
    notices: tuple[str, ...] = ()
    header: Mapping[str, Any] = MappingProxyType({})
    is_recorded: ClassVar[bool] = False
    is_stateful: ClassVar[bool] = False

    @abstractmethod
    def detect(self, frame: Frame) -> Detections:
        """Return the boxes of `frame`: finite, of positive size, highest score first or in recorded order."""

    def check_against(self, video: VideoInfo, frames_read: int | None) -> str:
        """Make sure that precomputed boxes belong to `video`; return a notice, or an empty text.

        Args:
            video: The source as opened; its frame count may be a wrong header's, so it is only compared for a notice.
            frames_read: Number of frames of the source, known when it was read to its end; None before.

        Raises:
            FormatError: Another image size, or a record beyond the last frame.
        """
        return ""


MEMBERS = ("info", "names", "notices", "header", "is_recorded", "is_stateful", "detect", "check_against")


def build_detector(
    config: DetectorConfig,
    *,
    device: DeviceConfig,
    fallback_open: bool | None = False,
    motion: MotionConfig | None = None,
    samples: Samples | None = None,
) -> Detector:
    """Build the detector that `config` names, or a user's own class; precomputed detections win.

    Args:
        config: The detector's options.
        device: Device of the model.
        fallback_open: Take ``motion`` where official weights, or a hub's model, are not available; None: only where no
            option names the detector.
        motion: Parameters of ``motion``; None for their defaults.
        samples: Images of the source, to check a converted network on; None for none.

    Raises:
        FormatError: Precomputed detections that break their format.
        UsageError: A user's own class cannot be imported or is no detector.
        ModelError: Weights that do not exist, cannot be downloaded or loaded.
        ConfigError: A class that the detector does not know.
    """
    name, model = config.chosen()
    request = DetectorRequest(config, device, model, motion, samples or Samples())
    try:
        with activity(f"loading the detector {name} {Path(model).name}".rstrip()):
            detector: Detector = resolve("detector", DETECTORS, name)(request)
    except (GatedModelError, UnreachableModelError, UnsupportedModelError) as error:
        if not (config.det is None if fallback_open is None else fallback_open):
            raise
        notice = f"the built-in detector 'motion' is used (for fixed cameras, without classes): {error.message}"
        if error.remedy:
            notice += f". To get it: {error.remedy.splitlines()[0]}"
        request = dataclasses.replace(request, config=dataclasses.replace(config, classes=""))
        motion_detector: Detector = resolve("detector", DETECTORS, "motion")(request)
        motion_detector.notices = (notice,)
        return motion_detector
    check_members("detector", name, detector, MEMBERS, base="mot_dinov3.detectors.base.Detector")
    return detector
