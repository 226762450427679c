"""Where objects are counted."""

from __future__ import annotations

import dataclasses

from mot_dinov3.core.options import StageConfig, option


@dataclasses.dataclass(frozen=True)
class CountConfig(StageConfig):
    """Lines and zones."""

    group = "counting lines and zones"

    line: tuple[str, ...] = option(
        (),
        "count tracks that cross a line with the middle of their lower edge: in is from its right to its left, looking "
        "from the first point to the second; may be given more than once",
        metavar="X1,Y1,X2,Y2",
    )
    zone: str | None = option(
        None,
        'count tracks that enter and leave zones: JSON, {"name": [[x, y], …], …} or a LabelMe file with polygons',
        metavar="FILE",
    )

    @property
    def wanted(self) -> bool:
        """Tell whether anything is counted."""
        return bool(self.line) or self.zone is not None
