"""Keyword arguments of the Python API, generated from the options by docs/api_keywords.py; do not edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypedDict


class TrackOptions(TypedDict, total=False):
    """Options of the command `track`; None stands for the default."""

    # source
    source: str | Path | int | None  # a video file, a folder of images, a camera index, an rtsp:// or http:// URL, a pipe (-: standard input)
    start_frame: int | None  # first frame to process (0-based) (default 0, at least 0)
    end_frame: int | None  # stop before this frame
    fps: float | None  # frames per second, instead of the timing of the source (between 1e-06 and 1000)
    reconnect_seconds: float | None  # seconds for which a lost network stream is reconnected; 0: do not reconnect (default 60.0, at least 0)

    # detector
    det: str | Path | None  # YOLO weights (default yolov8n.pt): a file or an official model's name; rtdetr or rtdetr:HUB_ID; motion (no weights, fixed camera); recorded (with --dets); or your own package.module:Class
    dets: str | Path | None  # precomputed detections instead: det-v1 JSON, MOTChallenge det.txt, CVAT, COCO, YOLO
    dets_json: str | Path | None  # another name of dets
    strict: bool | None  # refuse --dets with a row that cannot be used (default: it is left out and counted) (default off)
    conf: float | None  # confidence threshold (default 0.3; track: weaker boxes, down to --low-score, continue tracks; precomputed detections: no limit) (between 0 and 1)
    imgsz: int | None  # longer side of the detector's input image, in pixels (default 960; rtdetr: the model's own) (at least 1)
    classes: str | int | Sequence[int | str] | None  # class ids or names to keep, e.g. "0" or "person,car" (empty: all)
    detect_every: int | Literal["auto"] | None  # detection interval: run the detector on every Nth frame, or (auto) where the images require it; in between, boxes follow the optical flow (default 1, between 1 and 1000)
    detect_refresh: float | None  # auto: seconds after which well-followed boxes are detected again (default 0.16, between 0 and 60)
    detect_shortest: float | None  # auto: shortest time between two detections of known boxes, in seconds; 0 (dense crowds): every contact is detected (default 0.11, between 0 and 60)
    detect_longest: float | None  # auto: longest time without a detection, in seconds (default 0.4, between 0 and 60)
    realtime: float | Literal["auto"] | None  # frames per second to keep up with (auto, or no number: the source's; 0: no target): like --detect-every auto, and refreshes are deferred while the run is behind; no frame is left out (default 0.0, between 0 and 1000)
    detect_budget_ms: float | None  # budget of the detector in ms per frame, on average: like --detect-every auto, and refreshes beyond it are deferred; 0: unlimited (> 0: runs may differ) (default 0.0, at least 0)
    detect_cost_ms: float | None  # fixed cost of a detector run in ms instead of the clock: reproducible runs (above 0)
    drop_frames: bool | None  # live sources: leave out the frames that come while the run is behind; by default all are processed (default off)

    # motion detector (--det motion)
    motion_method: Literal["mog2", "knn"] | None  # background model of --det motion (default mog2)
    motion_side: int | None  # shorter side of the background model's input image, in pixels (default 288, at least 32)
    motion_history: int | None  # history length of the background model, in frames (default 1000, at least 1)
    motion_threshold: float | None  # squared distance from the background, in variances, above which a pixel is foreground (default 25.0, above 0)
    motion_min_area: float | None  # smallest object, as a share of the frame area (default 0.0005, between 0 and 1)
    motion_warm_up: int | None  # number of first frames that only train the background model (default 5, at least 0)

    # device
    device: str | int | None  # auto (CUDA, then MPS, then CPU), cpu, cuda, mps or a CUDA index (default auto)
    trust_weights: bool | None  # allow weights files that contain code, which may run (.pt, .pth) (default off)
    precision: Literal["auto", "fp32", "bf16", "fp16"] | None  # number format of the networks (default auto)
    accel: Literal["auto", "torch", "openvino"] | None  # runtime of the networks on a CPU: OpenVINO if installed, or torch (default auto)

    # embedder
    embedder: str | None  # embedder of the crops (default dino): dino, clip, resnet, osnet, reid, histogram, none, or a custom package.module:Class; osnet for people, dino for objects of any kind, histogram or none without weights
    dinov3: str | Path | None  # model of the dino embedder, hub id or folder (default facebook/dinov3-vitb16-pretrain-lvd1689m)
    embed_model: str | Path | None  # model of any embedder: hub id, folder or file; takes precedence over --dinov3
    reid_weights: str | Path | None  # another name of embed_model
    weights: str | Path | None  # another name of embed_model
    fallback_open: bool | None  # use facebook/dinov2-base, then histogram, if the model is not available; for weights of the detector that cannot be downloaded, motion (default: on where no option names the model; else off)
    crop_pad: float | None  # padding of a box on each side before it is cropped, as a share of its size (default 0.12, between 0 and 1)
    crop_square: bool | None  # use square crops (default: on for dino, clip and resnet where the network's input is square; else off)
    crop_size: str | None  # input size of the network, in whole patches (default: 256x128 for the vision transformers of dino and clip, which fits people; else the model's own)
    pooling: Literal["cls", "mean", "parts4", "cls+parts4"] | None  # tokens that form an embedding of dino or clip: the CLS token, the mean of the patch tokens, the means of 4 horizontal stripes, or the CLS token and the stripes (default cls)
    embed_batch: int | None  # largest batch of crops (default 32, at least 1)

    # embedding scheduler
    embed_refresh: int | None  # refresh interval of a stable track's embedding, in frames (default 5, at least 1)
    embed_iou_gate: float | None  # IoU with exactly one active track from which its embedding is reused (default 0.6, between 0 and 1)
    embed_overlap_thr: float | None  # IoU with another detection above which a box counts as crowded (default 0.2, between 0 and 1)
    embed_crowded: Literal["always", "ambiguous"] | None  # crowded boxes to embed: all of them, or only those that overlap more than one track (default always)
    embed_saver: bool | None  # embed crowded boxes only where motion leaves their track uncertain, and refresh a fifth as often, once the video has shown what its embeddings are worth (default off)
    embed_budget_ms: float | None  # budget for refreshes in ms per frame, in addition to critical boxes; 0: unlimited (> 0: runs may differ) (default 0.0, at least 0)
    embed_cost_ms: float | None  # fixed cost per crop in ms instead of the clock: reproducible runs (above 0)

    # tracker
    tracker: str | None  # appearance for nearly everything, gallery_hybrid for known individuals (--list-trackers), or a custom package.module:Class (default appearance)

    # tracker parameters
    high_score: float | None  # boxes from this score are matched first, embedded, and may start tracks (default 0.5, between 0 and 1)
    low_score: float | None  # boxes below this score are ignored; those up to --high-score only continue tracks (default 0.1, between 0 and 1)
    new_score: float | Literal["auto"] | None  # a box needs this score to start a track; auto: 0.6, or less where a detector's scores are lower; --high-score and --low-score are then lowered by the same factor, by half at most (default auto, between 0 and 1)
    low_match: bool | None  # let low-score boxes continue tracks that were active in the last frame (default on)
    hungarian: bool | None  # optimal assignment; off: greedy (default on)
    match_floor: float | None  # smallest similarity of a match: overlap × score, plus likelihood and appearance (default 0.16, between 0 and 1)
    low_floor: float | None  # smallest similarity for low-score boxes (plain overlap) (default 0.5, between 0 and 1)
    tentative_floor: float | None  # smallest similarity for tentative tracks (default 0.3, between 0 and 1)
    score_fusion: bool | None  # multiply the overlap by the box's score (default on)
    height_power: float | None  # weight of the boxes' heights in the overlap; 0 = plain IoU (default 0.7, between 0 and 100)
    likelihood: float | None  # weight of the motion likelihood relative to the overlap; 0 = overlap only (default 0.3, between 0 and 100)
    lost_penalty: float | None  # penalty on the similarity of lost tracks relative to active ones (default 0.02, between 0 and 100)
    fast_objects: bool | None  # let new tracks take boxes that they do not overlap, two or three box sizes away, where nothing competes (default on)
    contest_noise: float | None  # factor on the measurement noise of a box that two tracks compete for (default 2.5)
    contest_margin: float | None  # a box is contested if the runner-up's similarity is lower by at most this value (default 0.25, between 0 and 1)
    growth: float | None  # boxes are expanded by this many standard deviations of the prediction before the overlap is computed (default 1.0, between 0 and 100)
    position_noise: float | None  # random walk of positions, object sizes per square root of a second (default 0.25, between 1e-06 and 100)
    velocity_noise: float | None  # random walk of velocities, object sizes per second and square root of a second (default 0.4, between 1e-06 and 100)
    box_noise: float | None  # standard deviation of a measured box, in object sizes (default 0.05, between 1e-06 and 100)
    start_noise: float | None  # standard deviation of a new track's velocity, in object sizes per second (default 2.0, between 1e-06 and 100)
    size_damping: float | None  # time constant, in seconds, of the decay of a lost track's size change; 0 = no decay (default 0.15, between 0 and 100)
    camera_motion: bool | None  # compensate camera motion (needs frames) (default on)
    scene_cuts: bool | None  # end all tracks at a hard cut; appearance alone may continue them (needs frames) (default on)
    confirm_hits: int | None  # number of matches that confirm a track (default 4, between 1 and 1000)
    confirm_score: float | None  # a box of this score confirms its track at once; 0 = never (default 0.0, between 0 and 1)
    tentative_seconds: float | None  # a tentative track is removed if unmatched for longer (default 0.1, between 0 and 3600)
    tentative_frames: int | None  # frames that a tentative track may miss, however long they take (default 1, between 0 and 1000)
    lost_seconds: float | None  # a lost track is kept for this time (default 2.0, between 0 and 3600)
    lost_frames: int | None  # frames that a lost track may miss, however long they take (default 3, between 0 and 1000)
    edge_seconds: float | None  # a lost track that has left the frame is kept for this time; 0 = no difference (default 0.3, between 0 and 100)
    edge_frames: int | None  # frames that a track that has left the frame may miss, however long they take (default 1, between 0 and 1000)
    new_overlap: float | None  # no track starts where an active track overlaps the box by more; 1 = always (default 0.6, between 0 and 1)
    appearance: float | None  # weight of the appearance relative to the overlap; 0 = motion only (default 0.5, between 0 and 100)
    ema: float | None  # EMA momentum of a track's embedding in an update by a confident box (default 0.7, between 0 and 1)
    recovery: bool | None  # re-identification: let new tracks take over the ids of lost ones with the same appearance (default on)
    recovery_evidence: float | None  # log-likelihood ratio of the same object, beyond a choice among the candidates, required for re-identification (default 0.0, between -20 and 20)
    recovery_seconds: float | None  # time for which lost tracks with an embedding can be re-identified (default 15.0, between 0 and 3600)
    recovery_speed: float | None  # maximum speed, in box heights per second (default 2.0)
    class_mode: Literal["agnostic", "per-class", "vote"] | None  # classes: ignored, matched separately, or voted per track (default agnostic)
    coast: bool | None  # output predicted boxes of lost tracks briefly, where such gaps mostly close (default on)
    coast_seconds: float | None  # time for which predicted boxes of a lost track are output with --coast (default 0.11, between 0 and 3600)
    coast_frames: int | None  # frames for which they are output, however long they take (default 2, between 0 and 1000)
    coast_trust: float | None  # share of the stream's gaps that must close within that time for --coast (default 0.6, between 0 and 1)

    # gallery_hybrid tracker parameters (--tracker gallery_hybrid)
    track_thresh: float | None  # boxes from this score are matched first and may start tracks (default 0.45, between 0 and 1)
    match_thresh: float | None  # largest accepted cost 1 - IoU·score of a match, so larger is looser (0.8: IoU·score of at least 0.2) (default 0.8, between 0 and 1)
    track_buffer: int | None  # frames at 30 fps for which a lost track is kept (default 25, at least 0)
    frame_rate: float | Literal["auto"] | None  # frame rate by which --track-buffer is scaled; auto: the video's (default 30.0, between 0 and 1000)
    per_class: bool | None  # track each class separately: a track never changes its class (default off)
    max_obs: int | None  # observed boxes kept per track: their mean size distinguishes neighbours, the last one recovers a track that turned (default 30, between 1 and 10000)

    # known identities
    gallery: str | Path | None  # folder of known identities: <folder>/<identity>/*.jpg|png (needs an embedder)
    gallery_root: str | Path | None  # another name of gallery
    gallery_match_threshold: float | Literal["auto"] | None  # largest distance at which an identity is assigned to a track; auto: learnt from the gallery and the video, for 1 % of strangers with a name (default auto, between 0 and 2)
    gallery_caution: float | None  # stricter distance for short tracks: a track observed n times must be nearer by 1/n of this value (not used by auto) (default 0.05, between 0 and 2)
    gallery_keep: float | None  # hysteresis: an identity is kept until its distance is larger, or another is nearer, by this value (default 0.05, between 0 and 2)
    gallery_margin: float | None  # an identity is assigned only if the second nearest is farther by this value (default 0.02, between 0 and 2)

    # whole-video linking
    link: bool | None  # after the last frame, join track fragments, smooth them and fill short gaps (default off)
    uncross: bool | None  # resolve id switches: exchange two trajectories after a crossing if their appearance indicates it (default on)
    motion_seconds: float | None  # longest gap over which trajectories are joined by motion alone; 0 = never (default 1.0, between 0 and 3600)
    appearance_seconds: float | None  # the same for trajectories with similar embeddings; 0 = never (default 12.0, between 0 and 3600)
    motion_gate: float | None  # largest prediction error, in heights, over a gap joined by motion alone (default 0.3, between 0 and 100)
    reach: float | None  # maximum speed over a gap, in heights per second, plus one height (default 1.5, between 0 and 100)
    height_change: float | None  # largest change of height over a gap, as a share (default 1.0, between 0 and 100)
    edge: float | None  # a trajectory that ends this near the frame edge has left the frame; share of the frame size (default 0.02, between 0 and 0.5)
    smooth: bool | None  # smooth the trajectories (default on)
    fill_seconds: float | None  # longest gap that is filled by interpolation; 0 = none (default 1.0, between 0 and 3600)

    # counting lines and zones
    line: str | Sequence[str] | None  # count tracks that cross a line with the midpoint of their lower edge: in is from its right to its left, seen from the first point towards the second; may be given more than once
    zone: str | Path | None  # count tracks that enter and leave zones: JSON, {"name": [[x, y], …], …} or a LabelMe file with polygons

    # drawing
    trails: float | None  # draw the trajectory of the last seconds of each track (0: off) (default 0.0, between 0 and 3600)
    labels: str | Sequence[str] | None  # parts of the labels, in order: some of id, class, score, name, or none (default: id, name, the class if there are several; * marks a new embedding)
    boxes: bool | None  # draw the boxes (default on)
    hud: bool | None  # draw fps, budget use, backlog, and active and lost tracks (default off)
    reasons: bool | None  # add to each label the reason why its box was or was not embedded, and to each frame the reason why the detector ran on it or did not (default off)
    anonymize: Literal["none", "blur", "pixelate"] | None  # hide every detected, predicted or lost box completely in video and report; undetected people, and faces outside boxes, stay visible; pixelate hides more than blur (default none)
    draw_lost: bool | None  # draw the predicted boxes of lost tracks, dashed (default off)
    line_thickness: int | None  # line width of the boxes in pixels (0: from the frame size) (default 0, between 0 and 100)
    font_scale: float | None  # size of the labels, 1 is about 22 pixels (0: from the frame size) (default 0.0, between 0 and 20)

    # output
    track_ids: str | int | Sequence[int] | None  # draw and write only these tracks, in all outputs but --save-dets, for example 3,7 (default: all)
    output: str | Path | None  # the tracked video: .mp4, .m4v, .mov, .mkv (H.264) or .webm (VP9) (default outputs/tracked.mp4)
    video: bool | None  # write the tracked video (default on)
    preset: Literal["veryfast", "superfast", "ultrafast", "auto"] | None  # preset of the H.264 encoder at equal quality (CRF 20): faster ones make larger files; auto: a faster one only where the encoder would limit the run (auto: runs may differ) (default veryfast)
    show: bool | None  # show the drawn frames in a window: q ends the run, space pauses it (default off)
    display: bool | None  # another name of show
    save_json: str | Path | None  # tracks as track-v1 JSON
    save_mot: str | Path | None  # tracks as MOTChallenge text
    save_csv: str | Path | None  # tracks as a CSV table
    save_dets: str | Path | None  # detections as det-v1 JSON, to track again without a detector
    save_counts: str | Path | None  # counts of --line and --zone as a CSV table
    save_crops: str | Path | None  # the best crops of each track, DIR/ID_frame.jpg: sharp, not overlapped
    crops_per_track: int | None  # crops of a track in --save-crops, at most (default 3, between 1 and 100)
    save_embeddings: str | Path | None  # mean embedding and best crops' embeddings of each track: .npz, or .parquet with pyarrow
    embeddings_per_box: bool | None  # add every embedding that was computed to --save-embeddings (default off)
    save_dwell: str | Path | None  # seconds of each track in each zone as a CSV table
    report: str | Path | None  # HTML report of the run: a viewer of the tracks, charts
    resume: bool | None  # resume the same command where it was killed or interrupted, else start from the beginning (default off)
    record: bool | None  # write a resume journal next to the first output during the run (default on)


class GalleryOptions(TypedDict, total=False):
    """Options of the command `gallery`; None stands for the default."""

    # input and identification
    tracker: Literal["gallery_hybrid", "gallery_only"] | None  # tracker (default gallery_hybrid)
    classes: str | int | Sequence[int | str] | None  # classes to track, ids or names, separated by , or ; (default: all)
    filter_gallery: bool | None  # omit detections of tracked classes without an identity (default off)
    class_names: str | Path | Sequence[str] | Mapping[int, str] | None  # class names: one per line, class IDs from 0, a YOLO data.yaml, or JSON
    embed_model: str | Path | None  # weights, also searched for in --models-dir
    reid_weights: str | Path | None  # another name of embed_model
    weights: str | Path | None  # another name of embed_model
    embedder: str | None  # embedder of the crops (default: osnet with --embed-model; else dino, or what stands in for it): dino, clip, resnet, osnet, reid, histogram, none
    reid_frequency: int | None  # interval in frames at which a track is compared with the gallery (default 10, at least 1)
    device: str | int | None  # auto (CUDA, then MPS, then CPU), cpu, cuda, mps or a CUDA index (default auto)
    half: bool | None  # embed in half precision (GPU only; ignored with a notice elsewhere) (default off)
    trust_weights: bool | None  # allow weights files that contain code, which may run (.pt, .pth) (default off)
    strict: bool | None  # refuse a detection that cannot be used (default: it is left out and counted) (default off)
    skip_bad_boxes: bool | None  # the default; accepted for scripts of earlier versions (default off)
    models_dir: str | Path | None  # folder that is searched for weights by name (default models)

    # gallery_hybrid tracker parameters (--tracker gallery_hybrid)
    track_thresh: float | None  # boxes from this score are matched first and may start tracks (default 0.45, between 0 and 1)
    match_thresh: float | None  # largest accepted cost 1 - IoU·score of a match, so larger is looser (0.8: IoU·score of at least 0.2) (default 0.8, between 0 and 1)
    track_buffer: int | None  # frames at 30 fps for which a lost track is kept (default 25, at least 0)
    frame_rate: float | Literal["auto"] | None  # frame rate by which --track-buffer is scaled; auto: the video's (default 30.0, between 0 and 1000)
    per_class: bool | None  # track each class separately: a track never changes its class (default off)
    max_obs: int | None  # observed boxes kept per track: their mean size distinguishes neighbours, the last one recovers a track that turned (default 30, between 1 and 10000)

    # known identities
    gallery: str | Path | None  # folder of known identities: <folder>/<identity>/*.jpg|png (needs an embedder)
    gallery_root: str | Path | None  # another name of gallery
    gallery_match_threshold: float | Literal["auto"] | None  # largest distance at which an identity is assigned to a track; auto: learnt from the gallery and the video, for 1 % of strangers with a name (the default where no option names an embedder) (default 0.25, between 0 and 2)
    gallery_caution: float | None  # stricter distance for short tracks: a track observed n times must be nearer by 1/n of this value (not used by auto) (default 0.05, between 0 and 2)
    gallery_keep: float | None  # hysteresis: an identity is kept until its distance is larger, or another is nearer, by this value (default 0.05, between 0 and 2)
    gallery_margin: float | None  # an identity is assigned only if the second nearest is farther by this value (default 0.02, between 0 and 2)

    # output
    save_json: str | None  # write the tracks as track-v1 JSON: NAME.json
    save_json_flag: bool | None  # short for --save-json tracked.json (default off)
    save_csv: str | None  # write the tracks as a CSV table: NAME.csv
    report: str | None  # write an HTML report, a viewer of tracks and names: NAME.html
    save_frames: bool | None  # write every drawn frame as frames/%06d.jpg (default off)
    save_video: str | bool | None  # write the drawn video: NAME.mp4, or .m4v, .mov, .mkv, .webm
    out_dir: str | Path | None  # parent folder of the run folders (default out)
    run_name: str | None  # name of the run folder (default: the video's name)
    show: bool | None  # show the drawn frames in a window: q ends the run, space pauses it (default off)
    display: bool | None  # another name of show
    save_fps: float | None  # frame rate of the saved video (default: the video's own) (above 0 and at most 1000)
    fourcc: str | None  # encoder of the saved video: mp4v, avc1, H264, … or an FFmpeg encoder's name (default: by the extension)
