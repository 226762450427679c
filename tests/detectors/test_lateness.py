from __future__ import annotations

import subprocess
import sys


def test_heavy_packages_are_not_imported_before_a_detector_is_made() -> None:
    code = (
        "import sys, mot_dinov3.detectors.base, mot_dinov3.detectors.yolo, mot_dinov3.formats.format_registry\n"
        "print([m for m in ('torch', 'cv2', 'ultralytics', 'scipy', 'av') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
