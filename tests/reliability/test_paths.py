"""Names that come from files, and links that somebody has laid, lead nowhere else."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from clips import picture, write_clip
from mot_dinov3.cli import main
from mot_dinov3.core.errors import InputError
from mot_dinov3.gallery.folder import check_identity, list_identities

NAMES = ["../evil", "..", "/evil", "a/../../evil", "..\\evil", "a\\b", "\x1b[2J", "a\nb", ".", " ", "evil/"]
DETECTIONS = {
    "schema_version": "det-v1",
    "video": {"path": "a.mp4", "fps": 10.0, "frame_count": 6, "width": 96, "height": 64},
    "frames": [{"frame": i, "detections": [{"bbox": [10, 10, 40, 60], "score": 0.9, "class_id": 0}]} for i in range(6)],
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a clip, detections and a gallery; whatever lies beside it must stay as it is."""
    work = tmp_path / "work"
    (work / "people" / "anna").mkdir(parents=True)
    monkeypatch.chdir(work)
    write_clip(work / "a.mp4", 6)
    Path("d.json").write_text(json.dumps(DETECTIONS))
    Path("people/anna/0.png").write_bytes(cv2.imencode(".png", picture(7))[1].tobytes())
    (tmp_path / "precious").write_text("untouched")
    return tmp_path


def outside(place: Path) -> list[str]:
    assert (place / "precious").read_text() == "untouched"
    return sorted(path.name for path in place.iterdir())


def gallery(*more: str) -> int:
    files = ["--dets-json", "d.json", "--video", "a.mp4", "--gallery", "people", "--embedder", "histogram"]
    return main(["gallery", *files, "--json", "--frames", "--no-progress", *more])


def test_names_never_leave_their_folder(place: Path, reliability: Callable[[str, str], None]) -> None:
    refused = 0
    for name in NAMES:
        for option in ("--run-name", "--save-video"):
            if name.strip() == name and name.isprintable():
                assert gallery(f"{option}={name}") == 2, (option, name)
                refused += 1
        with pytest.raises(InputError, match="cannot be used"):
            check_identity(name)
        refused += 1
    assert outside(place) == ["precious", "work"]
    (Path("people") / "a\\b").mkdir()
    with pytest.raises(InputError, match="cannot be used"):
        list_identities(Path("people"))
    reliability(
        "Names stay in their folder", f"{refused} names that lead elsewhere: {refused} refused, 0 files outside"
    )


def test_labels_are_text_and_never_a_path(place: Path) -> None:
    labels = [
        {"label": name, "points": [[20, 20]], "shape_type": "point", "group_id": None} for name in ("../evil", "/evil")
    ]
    document = {"shapes": labels, "imageWidth": 96, "imageHeight": 64, "imagePath": "../../evil.png"}
    Path("a").mkdir()
    Path("a/a_000000000.json").write_text(json.dumps(document))
    assert (
        main(["keypoints", "--video", "a.mp4", "--backend", "gradient", "--dlc-csv", "--annolid-csv", "--no-progress"])
        == 0
    )
    assert outside(place) == ["precious", "work"]
    written = {path.relative_to(place / "work").parts[0] for path in Path().resolve().rglob("*") if path.is_file()}
    assert written == {"a", "a.mp4", "a_tracking.csv", "d.json", "people"}
    assert "../evil" in Path("a/a_keypoints.csv").read_text()


OUTPUTS = {"--output": "v.mp4", "--save-json": "t.json", "--save-mot": "t.txt", "--save-csv": "t.csv"}


def test_no_output_follows_a_link_out(place: Path, reliability: Callable[[str, str], None]) -> None:
    followed = 0
    for option, name in OUTPUTS.items():
        stem, _, ending = name.partition(".")
        for link in (name, f"{stem}.part.{ending}", f"{name}.part.jsonl"):
            Path("out").mkdir(exist_ok=True)
            (Path("out") / link).symlink_to(place / "precious")
            command = [
                "--source",
                "a.mp4",
                "--det",
                "motion",
                "--embedder",
                "none",
                "--no-progress",
                option,
                f"out/{name}",
            ]
            assert main(command if option == "--output" else [*command, "--no-video"]) == 2
            followed += 1
            (Path("out") / link).unlink()
    Path("out").rename("elsewhere")
    (place / "away").mkdir()
    Path("out").mkdir()
    (Path("out") / "a").symlink_to(place / "away")
    assert gallery() == 2  # the run's folder, named after the video
    assert list((place / "away").iterdir()) == []
    assert outside(place) == ["away", "precious", "work"]
    reliability("No link leads out", f"{followed + 1} links in the place of outputs and temporary files: 0 followed")


def test_temporary_files_are_private(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mot_dinov3.trackers.appearance import AppearanceTracker

    seen: dict[str, int] = {}
    update = AppearanceTracker.update

    def watched(self: AppearanceTracker, *arguments: object) -> object:
        for path in Path("out").iterdir() if Path("out").exists() else ():
            seen[path.name] = stat.S_IMODE(path.stat().st_mode)
        return update(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(AppearanceTracker, "update", watched)
    files = [word for option, name in OUTPUTS.items() for word in (option, f"out/{name}")]
    assert main(["--source", "a.mp4", "--det", "motion", "--embedder", "none", "--no-progress", *files]) == 0
    assert len(seen) >= 4
    assert set(seen.values()) == {0o600}, seen
    Path("plain").touch()
    usual = stat.S_IMODE(Path("plain").stat().st_mode)
    assert {stat.S_IMODE((Path("out") / name).stat().st_mode) for name in OUTPUTS.values()} == {usual}
