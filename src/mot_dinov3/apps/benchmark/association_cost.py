"""CPU time of the association step at several numbers of objects."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from mot_dinov3.apps.benchmark.baselines import TrackerFactories, TrackerStep
from mot_dinov3.apps.benchmark.runs import markdown_table
from mot_dinov3.core.structures import Detections
from mot_dinov3.trackers.base import TrackerRequest

OBJECT_COUNTS = (10, 50, 100, 200)
FRAMES = 150
PASSES = 3
SIZE = (1920, 1080)


def sweep(
    factories: TrackerFactories,
    counts: Sequence[int] = OBJECT_COUNTS,
    *,
    frames: int = FRAMES,
    passes: int = PASSES,
    tick: Callable[[], object] = lambda: None,
) -> dict[str, dict[int, float]]:
    """Return for each tracker and number of objects the CPU milliseconds of a frame's association step.

    Trackers and numbers take turns, so that a disturbance of the machine affects all alike. The first pass is
    discarded (imports, caches); of the others' medians the lowest counts, the least disturbed one.

    Args:
        factories: The trackers.
        counts: Numbers of objects.
        frames: Length of each scene; the first third, in which tracks start, is left out.
        passes: Number of passes that count.
        tick: Called after each tracker's turn.
    """
    scenes = {count: list(synthetic_walkers(count, frames)) for count in counts}
    lowest: dict[str, dict[int, float]] = {name: dict.fromkeys(counts, np.inf) for name in factories}
    for number in range(passes + 1):
        for count, scene in scenes.items():
            for name, make in factories.items():
                spent = cpu_ms(make(TrackerRequest(30.0, SIZE, 0.5)), scene)
                if number:
                    lowest[name][count] = min(lowest[name][count], spent)
                tick()
    return lowest


def synthetic_walkers(count: int, frames: int, *, seed: int = 0) -> Iterator[Detections]:
    """Yield the detections of `count` walkers in a 1920 × 1080 image: they turn back at its edges, 5 % are missed.

    Every walker has a 512-d appearance of its own, to which each frame adds noise.
    """
    rng = np.random.default_rng(seed)
    size = np.stack([rng.uniform(40, 80, count), rng.uniform(100, 200, count)], axis=1)
    room = np.array(SIZE, np.float64) - size
    position, speed = rng.uniform(0, 1, (count, 2)) * room, rng.normal(0, 4, (count, 2))
    own = rng.normal(size=(count, 512))
    for _ in range(frames):
        position += speed
        speed = np.where((position < 0) | (position > room), -speed, speed)
        position = np.clip(position, 0, room)
        corner = position + rng.normal(0, 1.5, position.shape)
        boxes = np.concatenate([corner, corner + size * np.exp(rng.normal(0, 0.02, size.shape))], axis=1)
        detected = rng.permutation(np.flatnonzero(rng.random(count) > 0.05))
        score = np.clip(rng.normal(0.75, 0.15, count), 0.1, 0.99)
        embedding = own + rng.normal(0, 0.3, own.shape)
        embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
        yield Detections(
            boxes[detected].astype(np.float32),
            score=score[detected].astype(np.float32),
            class_id=np.zeros(len(detected), np.int64),
            embedding=embedding[detected].astype(np.float32),
        )


def cpu_ms(step: TrackerStep, frames: Sequence[Detections]) -> float:
    """Return the median CPU milliseconds of a frame; the first third, in which tracks start, is left out."""
    spent = []
    for index, rows in enumerate(frames):
        start = time.process_time()
        step(index, rows)
        spent.append(1e3 * (time.process_time() - start))
    return float(np.median(spent[len(spent) // 3 :]))


def association_table(times: Mapping[str, Mapping[int, float]]) -> list[str]:
    """Return the times as the lines of a Markdown table."""
    counts = next(iter(times.values()), {})
    rows = ([name, *(f"{ms:.2f}" for ms in row.values())] for name, row in times.items())
    return markdown_table(["tracker", *(f"N={n}" for n in counts)], rows)
