"""Generates the documentation page of the Python API from docstrings and signatures."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import mot_dinov3
from mot_dinov3 import testing
from mot_dinov3.apps.evaluation import Scores
from mot_dinov3.core import errors
from mot_dinov3.core.structures import Frame, VideoInfo
from mot_dinov3.pipeline.summary import RunSummary

HEAD = """# Python API

```python
from mot_dinov3 import Pipeline

pipeline = Pipeline.from_options(source="in.mp4", det="motion", embedder="histogram")
for frame, detections in pipeline:
    print(frame.index, detections.track_id, detections.xyxy)
```

Everything on this page is imported from `mot_dinov3` unless another module is named. `import mot_dinov3` loads no
library: a public name is imported when it is first used. All names are typed: mypy and pyright report a wrong keyword.
"""
SECTIONS: dict[str, tuple[Any, ...]] = {
    "Tracking": (mot_dinov3.Pipeline, mot_dinov3.track, RunSummary, mot_dinov3.available_trackers),
    "Known identities": (mot_dinov3.track_gallery, mot_dinov3.TrackResult),
    "Keypoints": (mot_dinov3.KeypointVideoProcessor,),
    "Evaluation": (mot_dinov3.evaluate, Scores),
    "Data": (mot_dinov3.Detections, Frame, VideoInfo),
    "Contracts of plug-ins": (testing.check_detector, testing.check_embedder, testing.check_tracker),
}
NOTES = {
    "Tracking": "The keywords (`TrackOptions`) are the options of the command [track](cli/track.md), with `_` for `-`.",
    "Known identities": "The keywords (`GalleryOptions`) are the options of the command [gallery](cli/gallery.md), "
    "with `_` for `-`; `--json` is `save_json_flag`, `--frames` is `save_frames`. `track_video` is another name of "
    "`track_gallery`.",
}
TITLE = re.compile(r"^(Args|Attributes|Returns|Yields|Raises):$", re.M)
ENTRY = re.compile(r"^    (\S[^:]*): ?(.*(?:\n {8}.*)*)", re.M)


def page() -> str:
    """Return the page as Markdown."""
    parts = [HEAD]
    for title, members in SECTIONS.items():
        parts += [f"## {title}\n", f"{NOTES[title]}\n" if title in NOTES else ""]
        parts += [part for member in members for part in entry(member)]
    intro, _, tree = inspect.cleandoc(errors.__doc__ or "").partition("::\n")
    return "\n".join([*parts, f"## Errors\n\n{intro.strip()} `from mot_dinov3 import errors`\n", tree.lstrip("\n")])


def entry(member: Any) -> Iterator[str]:
    """Yield a function, or a class with its public methods and properties."""
    home = "" if member.__name__ in mot_dinov3.__all__ else f" ({member.__module__})"
    yield f"### {member.__name__}{home}\n"
    yield from described(member, member.__name__)
    if not inspect.isclass(member):
        return
    for name, value in vars(member).items():
        inner = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if (name.startswith("_") and name != "__iter__") or not inspect.isfunction(inner) or not inner.__doc__:
            continue
        yield f"#### {member.__name__}.{name}\n".replace("__iter__", "\\_\\_iter\\_\\_")
        yield from described(inner, name, call=not isinstance(value, property))


def described(member: Any, name: str, *, call: bool = True) -> Iterator[str]:
    """Yield signature and docstring; the sections of the docstring become tables."""
    if call:
        shown = re.sub(r"""(: |-> )(['"])(.*?)\2""", r"\1\3", str(inspect.signature(member)))
        shown = re.sub(r"\((self|cls)(, )?", "(", shown.removesuffix(" -> None"))
        yield f"```python\n{name}{shown}\n```\n"
    text, *sections = TITLE.split(inspect.cleandoc(member.__doc__ or ""))
    yield markdown(text) + "\n"
    for title, body in zip(sections[::2], sections[1::2]):
        rows = [f"| `{key}` | {markdown(' '.join(what.split()))} |" for key, what in ENTRY.findall(body)]
        if title in ("Returns", "Yields") or not rows:
            yield f"**{title}** {markdown(' '.join(body.split()))}\n"
        else:
            yield "\n".join([f"| {title.lower()} | |", "| --- | --- |", *rows, ""])


def markdown(text: str) -> str:
    """Return a docstring's text with its double backticks made single ones."""
    return re.sub(r"`+", "`", text.strip()).replace("|", "\\|")
