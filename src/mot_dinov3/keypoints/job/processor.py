"""The command `keypoints` as a class of the Python API."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from mot_dinov3.keypoints.config import KeypointConfig
from mot_dinov3.keypoints.job.config import BackendConfig, KeypointJobConfig, KeypointsOptions
from mot_dinov3.keypoints.job.wiring import KeypointRun, build_keypoints
from mot_dinov3.models.devices import DeviceChoice


class KeypointVideoProcessor:
    """Tracks labelled keypoints through a video: the command `keypoints` as a class.

    Args:
        video_path: A video file or a folder of images.
        result_folder: Labels and results; next to the video, with its name, where None.
        model_name: DINO model, a hub id or a folder; an error where it is not available. None for the default one, and
            the best backend without it where that is not available.
        short_side: Working short side of the crop; None for that of `runtime_config`.
        device: As for ``--device``; None for auto.
        runtime_config: The tracker's options.

    Raises:
        MotError: Something cannot be used; see `errors` for the kinds.
    """

    def __init__(  # noqa: PLR0913 - a public signature
        self,
        video_path: str | Path,
        result_folder: str | Path | None = None,
        model_name: str | None = None,
        short_side: int | None = None,
        device: str | None = None,
        runtime_config: KeypointConfig | None = None,
    ) -> None:
        config = runtime_config or KeypointConfig()
        if short_side is not None:
            config = dataclasses.replace(config, short_side=short_side)
        job = KeypointJobConfig(
            source=str(video_path), result_folder=None if result_folder is None else str(result_folder)
        )
        backend = BackendConfig(model=model_name)
        self._options = KeypointsOptions(job, backend, DeviceChoice(device=device or "auto"), config)
        self._run: KeypointRun | None = build_keypoints(self._options)

    def process_video(self, tick: Callable[[], bool] = lambda: False) -> list[str]:
        """Track all points, write all files and return the summary's lines; `tick` interrupts when true.

        May be called again: to go on after an interruption, or after labels were corrected.
        """
        run, self._run = self._run or build_keypoints(self._options), None
        run.run(tick)
        return run.summary()
