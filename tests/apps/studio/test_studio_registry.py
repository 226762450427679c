"""Routes of the identities page, asked without a browser, on a registry of a small video."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest

from apps.test_identities import write_tracks
from apps.test_identity_registry import REGISTRY, contents, first_two_videos, identify, newer, torn
from mot_dinov3.apps.identities import registry_index
from mot_dinov3.apps.identities.identity_store import open_store
from mot_dinov3.apps.identities.registry_index import INDEX
from mot_dinov3.apps.studio.access import OutsideRootsError, Roots
from mot_dinov3.apps.studio.app import ROUTES
from mot_dinov3.apps.studio.config import StudioConfig, StudioOptions
from mot_dinov3.apps.studio.jobs import Job
from mot_dinov3.apps.studio.requests import ConflictError, Request
from mot_dinov3.apps.studio.routes import registry_routes, registry_search
from mot_dinov3.apps.studio.session import Studio
from mot_dinov3.core.errors import FormatError, InputError, MotError, OutputError, UsageError
from mot_dinov3.models.devices import DeviceConfig

pytestmark = pytest.mark.usefixtures("elsewhere")
Ask = Callable[..., Any]


@pytest.fixture
def studio(elsewhere: None) -> Iterator[Studio]:
    options = StudioOptions(StudioConfig(registry=str(REGISTRY)), DeviceConfig(device="cpu"))
    opened = Studio(options, Roots([Path.cwd()]))
    yield opened
    opened.close()


@pytest.fixture
def ask(studio: Studio) -> Ask:
    """Asks a route; waits for the job that it starts. An edit is made on the registry as it is."""

    def send(path: str, **values: Any) -> Any:
        method = "GET" if path in ("", "/identity") else "POST"
        if method == "POST" and path not in ("/undo", "/search", "/suggestions") and "revision" not in values:
            values["revision"] = send("")["revision"]
        answer = ROUTES[method, f"/api/registry{path}"](studio, Request({"root": str(REGISTRY.resolve()), **values}))
        if not isinstance(answer, Job):
            return answer
        assert answer.finished.wait(60)
        if answer.error is not None:
            raise answer.error
        return answer.result

    return send


def names(answer: dict[str, Any]) -> dict[str, int]:
    return {one["name"]: one["tracks"] for one in answer["identities"]}


def numbers(ask: Ask, name: str) -> list[int]:
    return [track["number"] for track in ask("/identity", name=name)["tracks"]]


def test_a_registry_is_shown(searchable: None, ask: Ask) -> None:
    shown = ask("")
    assert names(shown) == {"box-1": 1, "box-2": 1}
    (video,) = shown["videos"]
    assert (video["name"], video["path"], video["why"]) == ("scene", str(Path("scene.mp4").resolve()), "")
    assert shown["model"]["name"] == "histogram"
    opened = ask("/identity", name="box-1")
    assert [track["video"] for track in opened["tracks"]] == ["scene"]
    assert opened["tracks"][0]["images"]
    Path("scene.mp4").unlink()
    (video,) = ask("")["videos"]
    assert (video["path"], video["why"]) == ("", "the file no longer exists")


def test_registries_outside_the_folders_of_the_studio_are_refused(
    searchable: None, ask: Ask, tmp_path_factory: Any
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "registry"
    REGISTRY.rename(outside)
    before = (outside / INDEX).read_bytes()
    Path("link").symlink_to(outside)
    values = {
        "name": "box-1",
        "new": "Ann",
        "names": ["box-1", "box-2"],
        "tracks": [1],
        "to": "box-2",
        "one": 1,
        "other": 2,
    }
    for _, path in (route for route in ROUTES if route[1].startswith("/api/registry")):
        for root in (str(outside), "../registry", str(Path("link").absolute())):
            with pytest.raises(OutsideRootsError):
                ask(path.removeprefix("/api/registry"), **values, root=root, revision=1)
    assert (outside / INDEX).read_bytes() == before


def test_a_video_outside_the_folders_of_the_studio_is_not_opened(searchable: None, ask: Ask) -> None:
    with open_store(REGISTRY) as store:
        store.rows("UPDATE videos SET meta = replace(meta, 'scene.mp4', '../../../../../../etc/passwd')")
    (video,) = ask("")["videos"]
    assert video["path"] == ""
    assert "add --root" in video["why"]


def test_identities_are_named_merged_split_and_moved_and_all_is_undone(ask: Ask) -> None:
    first_two_videos()
    identify("b.npz")
    before = names(ask(""))
    assert ask("/rename", name="person-4", new=" Ann ")["show"] == "Ann"
    merged = ask("/merge", names=["person-5", "Ann", "person-6"])
    assert (merged["show"], names(merged)["Ann"]) == ("Ann", 6)
    assert merged["undo"] == "merging person-5, Ann, person-6"
    first, second, *_ = numbers(ask, "Ann")
    split = ask("/split", tracks=[first])
    assert (names(split)["Ann"], names(split)[split["show"]]) == (5, 1)
    moved = ask("/move", tracks=[second], to="person-1")
    assert (moved["show"], names(moved)["person-1"], names(moved)["Ann"]) == ("person-1", 2, 4)
    whole = ask("/move", tracks=numbers(ask, "person-2"), to="person-1")
    assert "person-2" not in names(whole)
    for _ in range(5):
        last = ask("/undo")
    assert names(last) == before
    assert last["done"] == "undone: naming person-4 Ann"
    for path, values in (
        ("/merge", {"names": ["person-1"]}),
        ("/merge", {"names": ["person-1", "nobody"]}),
        ("/split", {"tracks": []}),
        ("/split", {"tracks": [True]}),
        ("/split", {"tracks": numbers(ask, "person-1")}),
        ("/move", {"tracks": numbers(ask, "person-1"), "to": "person-1"}),
        ("/move", {"tracks": numbers(ask, "person-1") + numbers(ask, "person-2"), "to": "person-3"}),
        ("/rename", {"name": "person-1", "new": "a/b"}),
        ("/rename", {"name": "person-1", "new": "person-2"}),
        ("/undo", {}),
    ):
        with pytest.raises(MotError):
            ask(path, **values)
    assert names(ask("")) == before


def test_an_edit_is_undone_after_a_restart(ask: Ask, studio: Studio) -> None:
    first_two_videos()
    before = names(ask(""))
    ask("/merge", names=["person-4", "person-5"])
    restarted = Studio(studio.options, studio.roots)
    request = Request({"root": str(REGISTRY.resolve())})
    assert registry_routes.overview(restarted, request)["undo"] == "merging person-4, person-5"
    assert names(registry_routes.undo(restarted, request)) == before
    restarted.close()


def test_a_page_that_is_behind_changes_nothing(ask: Ask) -> None:
    first_two_videos()
    seen = ask("")["revision"]
    ask("/rename", name="person-4", new="Ann")
    with pytest.raises(ConflictError, match="changed in another tab"):
        ask("/forget", name="person-5", revision=seen)
    assert {"Ann", "person-5"} <= names(ask("")).keys()


def test_a_forgotten_person_is_gone_and_cannot_be_undone(searchable: None, ask: Ask, studio: Studio) -> None:
    ask("/rename", name="box-1", new="Ann")
    ask("/search", video=str(Path("scene.mp4").resolve()), frame=0, box=[4, 30, 24, 80])
    done = ask("/forget", name="Ann")
    assert (names(done), done["undo"], done["show"]) == ({"box-2": 1}, "", "")
    assert not (REGISTRY / "Ann").exists()
    with pytest.raises(UsageError, match="nothing to undo"):
        ask("/undo")
    found = ask("/search", video=str(Path("scene.mp4").resolve()), frame=0, box=[4, 30, 24, 80])
    assert [one["identity"] for one in found["found"]] == ["box-2"]


def test_a_suggestion_is_confirmed_or_rejected_and_later_runs_obey(ask: Ask) -> None:
    first_two_videos()
    identify("b.npz")
    (number,) = [track["number"] for track in ask("/identity", name="person-4")["tracks"] if track["video"] == "b"]
    split = ask("/split", tracks=[number])["show"]
    with open_store(REGISTRY) as store:
        store.rows("DELETE FROM decisions")  # as if two runs had not found out
    best = ask("/suggestions")["suggestions"][0]
    sides = [(best[side]["video"], best[side]["track_id"]) for side in ("one", "other")]
    assert sorted(sides) == [("a", 4), ("b", 1)]
    assert {best["one"]["identity"], best["other"]["identity"]} == {"person-4", split}
    assert best["one"]["last_time"] > best["one"]["first_time"] >= 0
    pair = {side: best[side]["number"] for side in ("one", "other")}
    joined = ask("/decide", **pair, same=True)
    assert (names(joined)["person-4"], joined["undo"]) == (2, "confirming a suggestion")
    ask("/undo")
    assert names(ask("/decide", **pair, same=False)).keys() >= {"person-4", split}
    with open_store(REGISTRY) as store:
        assert sorted(store.different_pairs()[0]) == [("a", 4), ("b", 1)]
    again = ask("/suggestions")["suggestions"]
    assert all({one["one"]["number"], one["other"]["number"]} != set(pair.values()) for one in again)
    # Of one identity: it is rejected, so the track is split off.
    ask("/undo")
    ask("/merge", names=["person-4", split])
    assert names(ask("/decide", **pair, same=False))["person-4"] == 1
    write_tracks(Path("c.npz"), [3], camera=2)
    identify("c.npz")
    apart = {track: name for name, tracks in contents().items() for track in tracks}
    assert apart["a", 4] != apart["b", 1]
    assert apart["c", 1] in (apart["a", 4], apart["b", 1])
    with pytest.raises(UsageError, match="no longer in the registry"):
        ask("/decide", one=pair["one"], other=10**6, same=True)


def encoded(path: str) -> str:
    return base64.b64encode(Path(path).read_bytes()).decode()


def test_a_person_is_searched_by_an_image_or_a_box(searchable: None, ask: Ask) -> None:
    for name, identity in (("red.png", "box-1"), ("blue.png", "box-2")):
        result = ask("/search", image=encoded(name))
        best, other = result["found"]
        assert (result["embedder"], best["identity"]) == ("histogram", identity)
        assert best["confidence"] > other["confidence"]
        assert best["tracks"][0]["image"]
    scene = str(Path("scene.mp4").resolve())
    best = ask("/search", video=scene, frame=0, box=[136, 40, 156, 95])["found"][0]
    assert (best["identity"], best["tracks"][0]["video"]) == ("box-2", "scene")
    for values, message in (
        ({"image": base64.b64encode(b"no image").decode()}, "not an image"),
        ({"image": "%%%"}, "must be base64"),
        ({"image": encoded("red.png"), "embedder": "none"}, "embedder"),
        ({"image": encoded("red.png"), "embedder": "os:system"}, "embedder"),
        ({"image": encoded("red.png"), "embedder": "osnet"}, "needs weights"),
        ({"video": scene, "frame": 0, "box": [0, 0, 3, 3]}, "too small"),
        ({"video": "/etc/passwd", "frame": 0, "box": [0, 0, 30, 30]}, "outside"),
    ):
        with pytest.raises(MotError, match=message):
            ask("/search", **values)


def test_another_embedder_than_the_registrys_is_refused(searchable: None, ask: Ask) -> None:
    with open_store(REGISTRY) as store:
        store.rows('UPDATE videos SET meta = replace(meta, \'"fingerprint": "\', \'"fingerprint": "9\')')
    with pytest.raises(UsageError, match=r"has embeddings of histogram \(9"):
        ask("/search", image=encoded("red.png"))


def missing() -> None:
    (REGISTRY / INDEX).unlink()


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (newer, FormatError, "is registry-v9"),
        (torn, FormatError, "is damaged, or no registry"),
        (missing, InputError, "is no registry"),
    ],
)
def test_a_registry_that_cannot_be_read_is_an_error_of_one_line(
    searchable: None, damage, error, message, ask: Ask
) -> None:
    damage()
    for path, values in (("", {}), ("/identity", {"name": "box-1"}), ("/rename", {"name": "box-1", "new": "Ann"})):
        with pytest.raises(error, match=message) as caught:
            ask(path, **values, **({"revision": 1} if path == "/rename" else {}))
        assert "\n" not in caught.value.message


def test_a_registry_in_use_is_shown_and_not_edited(searchable: None, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (registry_routes, registry_search, registry_index):
        monkeypatch.setattr(module, "WAIT_S", 0.05)
    monkeypatch.setattr("mot_dinov3.apps.identities.registry_history.WAIT_S", 0.05)
    with open_store(REGISTRY):
        assert names(ask("")) == {"box-1": 1, "box-2": 1}
        with pytest.raises(OutputError, match="in use by another run"):
            ask("/rename", name="box-1", new="Ann")


def test_a_large_image_is_an_image_all_the_same(searchable: None, ask: Ask) -> None:
    cv2.imwrite("red.jpg", cv2.resize(cv2.imread("red.png"), (400, 1200)))
    assert ask("/search", image=encoded("red.jpg"))["found"][0]["identity"] == "box-1"
