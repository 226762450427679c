"""The door of a checkout: ``python cli.py …`` is ``mot-dinov3 …``, also before the package is installed."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))
from mot_dinov3.cli import entry

if __name__ == "__main__":
    entry()
