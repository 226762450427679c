"""Routes of the keypoint view: labelling, tracking and correcting keypoints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mot_dinov3.apps.studio.jobs import Job
from mot_dinov3.apps.studio.keypoint_settings import in_page_terms, keypoint_options, page_terms, settings
from mot_dinov3.apps.studio.label_edits import NAMED, LabelEditor
from mot_dinov3.apps.studio.label_store import LabelStore
from mot_dinov3.apps.studio.relabelling import Relabelling
from mot_dinov3.apps.studio.requests import ConflictError, Request
from mot_dinov3.apps.studio.routes.similarity_routes import backend_values
from mot_dinov3.apps.studio.session import Routes, Studio
from mot_dinov3.apps.studio.shapes import MAX_SHAPES, LabelShape
from mot_dinov3.core.errors import InputError, unknown_name
from mot_dinov3.keypoints.job.config import KeypointJobConfig
from mot_dinov3.keypoints.job.files import KeypointPaths, stem_of
from mot_dinov3.keypoints.job.gaps import plan_gaps
from mot_dinov3.video.image_files import list_images


def _labels(studio: Studio, request: Request) -> LabelStore:
    path, frames = studio.video(request.text("video"))
    given = request.text("folder", "")
    folder = studio.roots.check(given) if given else path.parent / stem_of(path)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"'{folder}' is a file", remedy="choose a folder for the labels and results")
    studio.roots.check(str(folder))
    size = frames.info.width, frames.info.height
    return studio.labels.get(folder, lambda: LabelStore(KeypointPaths(path, folder, size)), stamp=str(path))


def overview(studio: Studio, request: Request) -> dict[str, Any]:
    """Labelled and tracked frames, instances and keypoints."""
    labels = _labels(studio, request)
    return {**labels.overview(), "running": studio.jobs.busy("keypoints", str(labels.paths.folder))}


def frame(studio: Studio, request: Request) -> dict[str, Any]:
    """The points and outlines of a frame."""
    return _labels(studio, request).frame(request.whole("n"))


def series(studio: Studio, request: Request) -> dict[str, Any]:
    """Score and state of all keypoints over time."""
    return _labels(studio, request).results.series()


def save(studio: Studio, request: Request) -> dict[str, Any]:
    """Write the labels of a frame."""
    labels, number = _labels(studio, request), request.whole("n")
    raw = request.items("items")
    if len(raw) > MAX_SHAPES:
        raise InputError(f"a frame has at most {MAX_SHAPES} labels")
    shapes = [LabelShape.parse(one, labels.paths.size) for one in raw]
    path, frames = studio.video(request.text("video"))
    image = frames.image(number)
    with studio.writing:
        _refuse_while_tracking(studio, str(labels.paths.folder))
        labels.save(
            number,
            shapes,
            revision=request.text("revision"),
            image=list_images(path)[number] if path.is_dir() else image,
        )
    return {**labels.frame(number), "overview": labels.overview()}


def swap(studio: Studio, request: Request) -> Job:
    """Exchange two instances, or two keypoints of one, from a frame on."""
    labels, number = _labels(studio, request), request.whole("n")
    instance, one, other = request.text("instance"), request.text("name", ""), request.text("other")
    revision, to_end = request.text("revision"), request.flag("to_end")

    def work(editor: LabelEditor) -> tuple[str, Relabelling]:
        stop = None if to_end else editor.stop(number)
        exchange = (
            Relabelling.swap_keypoints(instance, (one, other), number, stop)
            if one
            else Relabelling.swap_instances(instance, other, number, stop)
        )
        return editor.swap(number, exchange, revision=revision), exchange

    return _edit(studio, labels, "Swapping", work)


def rename(studio: Studio, request: Request) -> Job:
    """Give an instance or a keypoint another name, everywhere."""
    labels, kind = _labels(studio, request), request.text("kind")
    if kind not in NAMED:
        raise unknown_name("kind", kind, NAMED)
    old, new = request.text("old"), request.text("new")

    def work(editor: LabelEditor) -> tuple[str, Relabelling]:
        return editor.rename(kind, old, new)

    return _edit(studio, labels, "Renaming", work)


def undo(studio: Studio, request: Request) -> Job:
    """Take the last saved edit back."""
    return _edit(studio, _labels(studio, request), "Undoing", lambda editor: editor.undo())


def _edit(
    studio: Studio, labels: LabelStore, title: str, work: Callable[[LabelEditor], tuple[str, Relabelling]]
) -> Job:
    """Edit labels and results in the background: there may be thousands of files."""
    folder = str(labels.paths.folder)

    def edit(_: Job) -> dict[str, Any]:
        with studio.writing:
            _refuse_while_tracking(studio, folder)
            what, names = work(LabelEditor(labels))
        return {"title": what, "instances": names.instances, "keypoints": names.keypoints}

    return studio.jobs.start("labels", title, edit, subject=folder, wait_s=1.0)


def _refuse_while_tracking(studio: Studio, folder: str) -> None:
    if studio.jobs.busy("keypoints", folder):
        raise ConflictError("the points are being tracked", remedy="wait or cancel it, then save")


def options(studio: Studio, request: Request) -> dict[str, Any]:
    """Every option of a run, with its meaning and range."""
    return {"options": settings(studio)}


def track(studio: Studio, request: Request) -> Job:
    """Track all labelled points through the video, in the background; frames with up-to-date results are skipped."""
    labels = _labels(studio, request)
    folder = str(labels.paths.folder)
    fixed = {"source": str(labels.paths.video), "result_folder": folder, **backend_values(studio, request)}
    with page_terms():
        chosen = keypoint_options(studio, request.fields("settings"), fixed)
    job_config = chosen.keypoint_job
    if job_config.annolid_csv:
        studio.roots.check(str(labels.paths.annolid))

    def work(job: Job) -> dict[str, Any]:
        from mot_dinov3.keypoints.job.wiring import build_keypoints

        job.message = "loading the model"
        with page_terms():
            run = build_keypoints(chosen)
            job.message = ""
            job.total = frames_to_track(labels, run.info.frame_count, job_config)
            run.run(job.tick)
        return {"summary": [in_page_terms(line) for line in run.summary()]}

    with studio.writing:
        return studio.jobs.start("keypoints", "Tracking the points", work, subject=folder)


def frames_to_track(labels: LabelStore, frames: int, config: KeypointJobConfig) -> int:
    """Return the number of frames of a run, those between two labelled ones counted twice; 0 where it is unknown."""
    labelled = sorted(labels.labels().frames)
    stop = frames if config.end_frame is None else min(config.end_frame, frames)
    gaps = plan_gaps(labelled, config.start_frame, stop or None)
    spans = [(1 + (gap.before is not None and gap.after is not None)) * ((gap.stop or 0) - gap.first) for gap in gaps]
    return sum(spans) if frames else 0


ROUTES: Routes = {
    ("GET", "/api/keypoints"): overview,
    ("GET", "/api/keypoints/frame"): frame,
    ("GET", "/api/keypoints/series"): series,
    ("POST", "/api/keypoints/save"): save,
    ("POST", "/api/keypoints/swap"): swap,
    ("POST", "/api/keypoints/rename"): rename,
    ("POST", "/api/keypoints/undo"): undo,
    ("GET", "/api/keypoints/options"): options,
    ("POST", "/api/keypoints/run"): track,
}
