"""Measure the load time of a report: headless Chromium, a new process each time, pages alternately.

    python benchmarks/report_page.py --make long.html                 # a report of 60,000 frames, eight people in each
    python benchmarks/report_page.py long.html [OTHER.html …]         # needs playwright and the system's Chromium

"shown" is the first paint, "loaded" the browser's load event, "drawn" the time when the visible charts are complete;
"cpu" is the CPU time of all browser processes until then, without the browser's start.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import psutil

FRAMES, PEOPLE, LIFE = 60_000, 8, 320


def make(page: Path) -> None:
    """Track recorded boxes of people who walk through one after the other, and write the report."""
    from mot_dinov3.cli import main

    with tempfile.TemporaryDirectory() as folder:
        dets = Path(folder) / "det.txt"
        with dets.open("w", encoding="utf-8") as file:
            for frame in range(FRAMES):
                for lane in range(PEOPLE):
                    age = (frame + lane * LIFE // PEOPLE) % LIFE
                    if age < LIFE - 20:
                        file.write(f"{frame + 1},-1,{4 * age},{90 * lane},40,80,0.9,-1,-1,-1\n")
        if main(["track", "--dets", str(dets), "--report", str(page)]):
            raise SystemExit("the run failed")


def processor_seconds() -> float:
    """Return what the processes below this one have taken so far."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            total += sum(process.cpu_times()[:2])
        except psutil.NoSuchProcess:
            continue
    return total


def opened(chromium: object, page: Path) -> dict[str, float]:
    """Open a page in a browser of its own; return the seconds until it is shown, loaded and drawn, and its CPU time."""
    with chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"]) as browser:  # type: ignore[attr-defined]
        tab = browser.new_page(viewport={"width": 1320, "height": 900})
        tab.goto("about:blank")
        before, began = processor_seconds(), time.perf_counter()
        tab.goto(page.resolve().as_uri(), wait_until="load")
        loaded = time.perf_counter() - began
        tab.wait_for_selector("body[data-ready]")
        drawn, cpu = time.perf_counter() - began, processor_seconds() - before
        shown = tab.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime") / 1e3
    return {"shown": shown, "loaded": loaded, "drawn": drawn, "cpu": cpu}


def main() -> None:
    """Print the median of each page, in seconds."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", type=Path)
    parser.add_argument("--make", type=Path, metavar="PAGE")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    if args.make:
        make(args.make)
    with sync_playwright() as driver:
        runs = [[opened(driver.chromium, page) for page in args.pages] for _ in range(args.rounds)]
    for k, page in enumerate(args.pages):
        median = {name: statistics.median(run[k][name] for run in runs) for name in runs[0][k]}
        print(f"{page} ({page.stat().st_size / 1e6:.1f} MB): " + ", ".join(f"{n} {s:.2f} s" for n, s in median.items()))


if __name__ == "__main__":
    main()
