"""The studio's server, asked by a program: security, names, two tabs at once."""

from __future__ import annotations

import concurrent.futures
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from clips import SIZE, number, write_clip


def ask(address: str, values: dict[str, Any] | None = None, **headers: str) -> tuple[int, Any]:
    """Status and answer; `values` are posted as JSON."""
    data = None if values is None else json.dumps(values).encode()
    sent = {"content-type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
    request = urllib.request.Request(address, data=data, headers=sent)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            body = response.read()
            kind = response.headers["content-type"]
            return response.status, json.loads(body) if "json" in kind else body
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() if "json" in error.headers["content-type"] else b"{}")


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A folder that is a root, a link in it that leads out, and a secret outside."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "a.jpg").write_bytes(b"secret")
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path / "secret")
    write_clip(root / "clip.mp4", 30)
    return root


def test_the_server_serves_its_page_and_nobody_elses(serve: Callable[..., str], world: Path) -> None:
    base = serve("--root", world).rstrip("/")
    clip = f"path={world}/clip.mp4"
    status, info = ask(f"{base}/api/video?{clip}")
    assert (status, info["width"], info["frames"]) == (200, SIZE[0], 30)
    for n in (7, 29, 0):
        status, data = ask(f"{base}/api/frame?{clip}&n={n}")
        assert number(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)) == n
    assert ask(f"{base}/")[0] == ask(f"{base}/static/app.js")[0] == 200
    cross = {"host": "evil.example"}, {"origin": "http://evil.example"}, {"sec_fetch_site": "cross-site"}
    for headers in cross:
        for values in (None, {"root": str(world / "g")}):
            path = "/api/gallery/undo" if values else f"/api/frame?{clip}&n=0"
            assert ask(base + path, values, **headers)[0] == 403
    outside = ["/etc/passwd", str(world.parent / "secret"), f"{world}/../secret", f"{world}/link/a.jpg", "/"]
    for path in outside:
        for route in (
            f"files?kind=video&path={path}",
            f"video?path={path}",
            f"gallery?root={path}",
            f"tracks?tracks={path}",
        ):
            status, answer = ask(f"{base}/api/{route}")
            assert (status, "error" in answer) == (403, True), route
    assert ask(f"{base}/static/../app.py")[0] == 404
    assert ask(f"{base}/static/%2e%2e/app.py")[0] == 404
    status, listing = ask(f"{base}/api/files?kind=video&path={world}")
    assert ([f["name"] for f in listing["files"]], listing["folders"]) == (["clip.mp4"], [])
    assert (
        ask(
            f"{base}/api/gallery/save",
            {"root": str(world), "identity": "link", "video": f"{world}/clip.mp4", "frame": 0, "box": [0, 0, 40, 40]},
        )[0]
        == 403
    )
    for identity in ("../x", "..", "a/b", ".x"):
        values = {
            "root": str(world / "g"),
            "identity": identity,
            "video": f"{world}/clip.mp4",
            "frame": 0,
            "box": [0, 0, 40, 40],
        }
        assert ask(f"{base}/api/gallery/save", values)[0] == 400
    assert ask(f"{base}/api/gallery/picture?root={world}&identity=link&file=a.jpg")[0] == 403
    assert (world.parent / "secret" / "a.jpg").read_bytes() == b"secret"
    for values in ([], {"root": 5}, {"root": "\0"}, {"root": str(world / "g"), "identity": "a", "frame": 1.5}):
        assert ask(f"{base}/api/gallery/save", values)[0] in (400, 403)
    assert not (world / "g").exists()


def test_two_tabs_do_not_get_in_each_others_way(serve: Callable[..., str], world: Path) -> None:
    base = serve("--root", world).rstrip("/")
    root = world / "people"

    def save(i: int) -> int:
        values = {
            "root": str(root),
            "identity": "a",
            "video": f"{world}/clip.mp4",
            "frame": i,
            "box": [0, 0, 40 + i, 40],
        }
        return ask(f"{base}/api/gallery/save", values)[0]

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        assert set(threads.map(save, range(20))) == {200}
    names = sorted(p.name for p in (root / "a").iterdir())
    assert names == [f"a_{i:05d}.jpg" for i in range(20)]
    assert sorted(cv2.imread(str(root / "a" / name)).shape[1] for name in names) == [40 + i for i in range(20)]


TRACKED = "".join(f"{n},{track},{10 * track},{n},9,20,1,-1,-1,-1\n" for n in range(1, 31) for track in (1, 2))


def test_tracks_are_corrected_below_the_roots_only(serve: Callable[..., str], world: Path) -> None:
    base = serve("--root", world).rstrip("/")
    secret = world.parent / "secret" / "tracks.txt"
    for path in (world / "tracks.txt", secret):
        path.write_text(TRACKED)
    values = {"tracks": str(world / "tracks.txt"), "video": str(world / "clip.mp4"), "revision": 0}
    outside = ["/etc/passwd", str(secret), f"{world}/../secret/tracks.txt", f"{world}/link/tracks.txt"]
    edit = {"kind": "delete", "track": 1}
    for path in outside:
        assert ask(f"{base}/api/correction?tracks={path}")[0] == 403
        assert ask(f"{base}/api/correction/boxes?tracks={path}&first=0&stop=9")[0] == 403
        assert ask(f"{base}/api/correction/places?tracks={path}")[0] == 403
        for name in ("edit", "undo", "redo", "reviewed", "save", "evaluate"):
            sent = {**values, "tracks": path, "edit": edit, "target": str(world / "x.txt"), "truth": values["tracks"]}
            assert ask(f"{base}/api/correction/{name}", {**sent, "key": "k"})[0] == 403, name
        assert ask(f"{base}/api/correction/save", {**values, "target": path})[0] == 403
        assert ask(f"{base}/api/correction/evaluate", {**values, "truth": path})[0] == 403
        assert ask(f"{base}/api/correction?tracks={values['tracks']}&video={path}")[0] == 403
        assert ask(f"{base}/api/correction/places?tracks={values['tracks']}&report={path}")[0] == 403
    assert ask(f"{base}/api/correction/edit", {**values, "edit": edit}, origin="http://evil.example")[0] == 403
    status, answer = ask(f"{base}/api/correction/save", {**values, "target": values["tracks"], "overwrite": True})
    assert (status, "source itself" in answer["error"]) == (400, True)
    assert sorted(p.name for p in secret.parent.iterdir()) == ["a.jpg", "tracks.txt"]
    assert {p.name for p in world.iterdir()} == {"clip.mp4", "link", "tracks.txt"}
    assert secret.read_text() == (world / "tracks.txt").read_text() == TRACKED


def test_edits_of_a_page_that_is_behind_are_refused(serve: Callable[..., str], world: Path) -> None:
    base = serve("--root", world).rstrip("/")
    (world / "tracks.txt").write_text(TRACKED)
    values = {"tracks": "tracks.txt", "video": "clip.mp4"}

    def rename(name: str, revision: int = 0) -> tuple[int, Any]:
        edit = {"kind": "rename", "track": 1, "name": name}
        return ask(f"{base}/api/correction/edit", {**values, "revision": revision, "edit": edit})

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(rename, "abcdefgh"))
    assert sorted(status for status, _ in answers) == [200] + 7 * [409]
    assert rename("x", 1)[1]["revision"] == 2
    for wrong in ({"kind": "rename"}, {"kind": "system", "track": 1}, [], "x"):
        assert ask(f"{base}/api/correction/edit", {**values, "revision": 2, "edit": wrong})[0] == 400
    for span in ("first=0&stop=5000", "first=9&stop=3", "first=-1&stop=3"):
        assert ask(f"{base}/api/correction/boxes?tracks=tracks.txt&{span}")[0] == 400
    status, found = ask(f"{base}/api/correction/boxes?tracks=tracks.txt&video=clip.mp4&first=28&stop=33")
    assert (status, [len(frame) for frame in found["frames"]]) == (200, [2, 2, 0, 0, 0])
    assert found["frames"][0][0] == [1, 10, 29, 19, 49, 0]


def test_tracking_runs_no_code_and_reads_no_file_that_a_page_names(serve: Callable[..., str], world: Path) -> None:
    base = serve("--root", world).rstrip("/")
    usual = {"video": "clip.mp4", "detector": "motion", "embedder": "none"}
    for wrong, status in (
        ({"detector": "os.path:join"}, 400),
        ({"embedder": "os.path:join"}, 400),
        ({"detector": "yolo", "weights": "/etc/passwd"}, 403),
        ({"detector": "yolo", "weights": "/etc/no-such-file"}, 403),
        ({"detector": "yolo", "weights": "../secret/a.jpg"}, 403),
        ({"detector": "yolo", "weights": "link/a.jpg"}, 403),
        ({"detector": "recorded", "dets": str(world.parent / "secret" / "a.jpg")}, 403),
        ({"embedder": "osnet", "model": "/etc/passwd"}, 403),
        ({"video": "/etc/passwd"}, 403),
        ({"budget": -1}, 400),
    ):
        assert ask(f"{base}/api/track", {**usual, **wrong})[0] == status, wrong
    assert {p.name for p in world.iterdir()} == {"clip.mp4", "link"}


def test_a_new_tab_is_given_what_the_last_one_showed(serve: Callable[..., str], world: Path) -> None:
    base = serve("--root", world).rstrip("/")
    assert ask(f"{base}/api/start")[1]["page"] == {}
    assert ask(f"{base}/api/page", {"state": {"tool": "tracks", "frame": "12"}})[0] == 200
    assert ask(f"{base}/api/start")[1]["page"] == {"tool": "tracks", "frame": "12"}
    assert ask(f"{base}/api/page", {"state": {"tool": ["x"]}})[0] == ask(f"{base}/api/page", {"state": 3})[0] == 400


def test_beyond_this_computer_the_token_is_needed(serve: Callable[..., str], world: Path) -> None:
    printed = serve("--root", world, "--host", "0.0.0.0")
    port, token = printed.split(":")[2].split("/")[0], printed.split("token=")[1]
    base = f"http://127.0.0.1:{port}"
    assert ask(f"{base}/api/start")[0] == ask(f"{base}/")[0] == ask(f"{base}/?token=wrong")[0] == 401
    assert ask(f"{base}/api/start", cookie="mot_studio_token=wrong")[0] == 401
    assert ask(f"{base}/api/start?token={token}")[0] == 401  # only the page's own address takes it
    assert ask(f"{base}/api/start", cookie=f"mot_studio_token={token}")[0] == 200
    assert ask(f"{base}/api/start", cookie=f"mot_studio_token={token}", origin="http://evil.example")[0] == 403
    jar = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    assert b"<title>" in jar.open(f"{base}/?token={token}", timeout=30).read()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--video", "none.mp4"], 3, "--source 'none.mp4' does not exist"),
        (["--root", "nowhere"], 3, "--root 'nowhere' does not exist"),
        (["--port", "70000"], 2, "port must be between 0 and 65535"),
        (["--host", "203.0.113.9"], 2, "cannot be listened on"),
    ],
)
def test_what_cannot_be_served_is_said(
    words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from mot_dinov3.cli import main

    assert main(["studio", "--no-browser", *words]) == code
    assert said in capsys.readouterr().err
