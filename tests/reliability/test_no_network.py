"""With everything at hand nothing connects, nothing reports, and a token stays where it is."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from clips import write_clip
from loopback import serving

TOKEN = "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz123456"

# An audit hook sees every socket that Python opens, and cannot be taken away again by what runs after it.
FORBIDDEN = """
import os, sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.sendmsg",
                 "socket.bind", "urllib.Request", "http.client.connect", "ftplib.connect", "smtplib.connect"):
        with open(os.environ["ATTEMPTS"], "a") as file:
            file.write(f"{event} {arguments!r}\\n")
        raise OSError(f"no network here: {event}")
sys.addaudithook(refuse)
from mot_dinov3.cli import main
sys.exit(main())
"""


def alone() -> list[str]:
    """Return the words that run a command in a network namespace of its own, empty where that is not allowed."""
    words = ["unshare", "--net", "--map-root-user"]
    able = (
        shutil.which("unshare") and subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0
    )
    return words if able else []


def run(*words: str, folder: Path, code: str = FORBIDDEN, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the program in `folder`, which is also its home."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "XDG_", "YOLO_"))}
    home = {"HOME": str(folder), "ATTEMPTS": str(folder / "attempts"), "OMP_NUM_THREADS": "1"}
    command = [*(alone() if code == FORBIDDEN else []), sys.executable, "-c", code, *words, "--no-progress"]
    environment = kept | home | variables
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def attempts(folder: Path) -> str:
    file = folder / "attempts"
    return file.read_text() if file.exists() else ""


@pytest.mark.slow
def test_the_main_job_with_local_weights_connects_nowhere(
    shared: Path, tmp_path: Path, reliability: Callable[[str, str], None]
) -> None:
    weights = shared / "models"
    video = shared / "data" / "videos" / "people_1080p.mp4"
    yolo = ["--det", str(weights / "yolov8n.pt"), "--embedder", "osnet", "--embed-model"]
    jobs = {
        "YOLO and OSNet": [*yolo, str(weights / "osnet_x0_25_msmt17.pt"), "--save-json", "a.json"],
        "YOLO and OSNet, ONNX": [*yolo, str(weights / "osnet_x0_25_msmt17.onnx"), "--no-video"],
        "no weights": ["--det", "motion", "--embedder", "histogram", "--save-csv", "a.csv"],
    }
    for name, words in jobs.items():
        given = ["--source", str(video), "--end-frame", "3", "--imgsz", "320", "--cpu", "--precision", "fp32"]
        done = run(*given, *words, folder=tmp_path)
        assert done.returncode == 0, f"{name}: {done.stderr}"
        assert attempts(tmp_path) == "", name
    where = "in a network namespace without a network" if alone() else "sockets forbidden"
    reliability("No surprise network", f"{len(jobs)} whole jobs ({', '.join(jobs)}): 0 attempts to connect, {where}")


@pytest.mark.slow
def test_other_commands_connect_nowhere(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", 4)
    det = ["detect", "--source", str(clip), "--det", "motion", "--json", "d.json"]
    heat = ["similarity", "--image", "0.png", "--point", "10,10", "--backend", "gradient", "--output", "h.png"]
    (tmp_path / "0.png").write_bytes(__import__("cv2").imencode(".png", __import__("clips").picture(3))[1].tobytes())
    for words in (det, heat):
        done = run(*words, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert attempts(tmp_path) == ""


@pytest.mark.slow
def test_the_watch_sees_a_connection(tmp_path: Path) -> None:
    """Without local weights the default detector has to be fetched: the hook that finds nothing above finds this."""
    clip = write_clip(tmp_path / "a.mp4", 2)
    done = run("--source", str(clip), "--det", "yolov8n.pt", "--embedder", "none", folder=tmp_path)
    assert done.returncode == 4, done.stderr
    assert "github.com" in attempts(tmp_path)


@pytest.mark.slow
def test_the_plainest_command_works_without_weights_and_network(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.mp4", 12)
    done = run("--source", str(clip), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "outputs" / "tracked.mp4").stat().st_size > 0
    detector, embedder = (line for line in done.stderr.splitlines() if line.startswith("notice: the built-in"))
    assert "'motion' is used" in detector
    assert "put yolov8n.pt into models/" in detector
    assert "histogram embedder is used" in embedder
    assert "To get facebook/dinov3-vitb16-pretrain-lvd1689m: " in embedder


@pytest.mark.slow
def test_without_yolo_ultralytics_is_never_imported(tmp_path: Path) -> None:
    """docs/dependencies.md says so to those whom its licence troubles."""
    write_clip(tmp_path / "a.mp4", 4)
    (tmp_path / "d.txt").write_text("1,-1,10,10,20,40,0.9\n2,-1,11,10,20,40,0.9\n")
    code = WATCH.partition("print")[0] + "print('ultralytics' in sys.modules); sys.exit(code)"
    for words in (["--det", "motion"], ["--dets", "d.txt"]):
        done = run("--source", "a.mp4", *words, "--embedder", "histogram", "--link", folder=tmp_path, code=code)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.slow
def test_no_dependency_reports(tmp_path: Path) -> None:
    code = """
import mot_dinov3
from mot_dinov3.models.weights import ultralytics_module
ultralytics_module()
from huggingface_hub import constants
from ultralytics.utils.events import events
print(constants.HF_HUB_DISABLE_TELEMETRY, events.enabled)
"""
    done = run(folder=tmp_path, code=code)
    assert done.stdout.split() == ["True", "False"], done.stderr


@pytest.mark.slow
def test_openvino_does_not_report_what_it_converts(tmp_path: Path) -> None:
    """Its converter would: to Google Analytics, from a process of its own, with an id kept in the home folder."""
    pytest.importorskip("openvino", reason="needs the extra [fast]")
    code = (
        FORBIDDEN.partition("from mot_dinov3.cli")[0]
        + """
import mot_dinov3, openvino, torch
openvino.convert_model(torch.nn.Linear(2, 2), example_input=torch.ones(1, 2))
"""
    )
    done = run(folder=tmp_path, code=code)
    assert done.returncode == 0, done.stderr
    assert attempts(tmp_path) == ""
    assert not (tmp_path / "intel").exists()


@dataclasses.dataclass
class Hub:
    """A hub that lets nobody in, and repeats the token it was sent in its answers."""

    address: str = ""
    sent: list[str] = dataclasses.field(default_factory=list)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.sent.append(f"{request.path} {dict(request.headers)}")
        request.send_response(403)
        request.send_header("X-Error-Code", "GatedRepo")
        request.send_header("X-Error-Message", f"Access denied for {request.headers.get('Authorization')}")
        request.end_headers()
        request.wfile.write(f"your token {request.headers.get('Authorization')} is no good".encode())


@pytest.fixture
def hub() -> Iterator[Hub]:
    gated = Hub()
    with serving(gated.answer) as host:
        gated.address = f"http://{host}"
        yield gated


WATCH = """
import pathlib, sys
from mot_dinov3.cli import main
code = main()
print(pathlib.Path("/proc/self/cmdline").read_bytes() if pathlib.Path("/proc/self/cmdline").exists() else sys.argv)
sys.exit(code)
"""


@pytest.mark.slow
def test_a_token_is_sent_to_the_hub_and_told_to_nobody(
    tmp_path: Path, hub: Hub, reliability: Callable[[str, str], None]
) -> None:
    clip = write_clip(tmp_path / "a.mp4", 4)
    (tmp_path / ".env").write_text(f"HF_TOKEN={TOKEN}\n")
    told = ""
    for more in (
        ["--no-fallback-open"],
        ["--no-fallback-open", "--debug"],
        ["--save-json", "a.json", "--save-csv", "a.csv"],
        ["--embedder", "clip"],
    ):
        words = ["--source", str(clip), "--det", "motion", *more]
        done = run(*words, folder=tmp_path, code=WATCH, HF_ENDPOINT=hub.address)
        assert done.returncode == (0 if "--save-json" in more else 4), done.stderr
        told += done.stdout + done.stderr
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".env"]
    assert any(TOKEN in line for line in hub.sent)  # it was really in use
    assert json.loads((tmp_path / "a.json").read_text())["notices"]
    assert TOKEN not in told
    assert [path for path in written if TOKEN.encode() in path.read_bytes()] == []
    figure = (
        f"sent {sum(TOKEN in line for line in hub.sent)} times to its hub; in 0 of {len(written)} files and no output"
    )
    reliability("A token stays secret", figure)


@pytest.mark.slow
def test_a_password_in_an_address_is_starred_out(tmp_path: Path) -> None:
    done = run(
        "--source",
        "rtsp://me:s3cret@127.0.0.1:9/x",
        "--det",
        "motion",
        "--embedder",
        "none",
        folder=tmp_path,
        code=WATCH.replace("print", "(lambda _: 0)"),
    )
    assert done.returncode == 3
    assert "s3cret" not in done.stdout + done.stderr
    assert "me:***@" in done.stderr
