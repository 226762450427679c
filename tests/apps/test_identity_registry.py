"""Registries: identities that last over several runs, and what a person changes in them."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from apps.test_identities import MODEL, named, write_tracks
from mot_dinov3.apps.identities import assignment, forgetting, identity_store, registry_images, registry_index
from mot_dinov3.apps.identities.identity_store import open_store
from mot_dinov3.apps.identities.registry_edits import (
    decide,
    forget_identity,
    merge_identities,
    rename_identity,
    split_identity,
)
from mot_dinov3.apps.identities.registry_history import edit_registry, undo_edit
from mot_dinov3.apps.identities.registry_index import INDEX
from mot_dinov3.cli import main
from mot_dinov3.core.errors import InputError, UsageError
from scenes import write_scene

pytestmark = pytest.mark.usefixtures("elsewhere")
REGISTRY = Path("registry")


def identify(*inputs: str, code: int = 0, out: str = "out") -> None:
    assert main(["identify", *inputs, "--registry", str(REGISTRY), "--out-dir", out]) == code


def contents() -> dict[str, list[tuple[str, int]]]:
    """The identities of the registry with their tracks."""
    with open_store(REGISTRY) as store:
        found: dict[str, list[tuple[str, int]]] = {name: [] for name in store.identity_names()}
        for track in store.tracklets():
            found[track.identity].append((track.video, track.track_id))
        return found


def first_two_videos() -> None:
    write_tracks(Path("a.npz"), list(range(10)))
    identify("a.npz")
    write_tracks(Path("b.npz"), [3, 4, 5, 6, 7, 8, 9, 30, 31, 32], camera=1)


def test_a_later_run_keeps_the_names_and_adds_to_them(capsys: pytest.CaptureFixture[str]) -> None:
    first_two_videos()
    earlier = named()
    identify("b.npz")
    names = named()
    assert {video for video, _ in names} == {"b"}, "the results are of the given videos"
    assert [names["b", track] for track in range(1, 8)] == [earlier["a", track + 3] for track in range(1, 8)]
    assert [names["b", track] for track in (8, 9, 10)] == ["person-11", "person-12", "person-13"]
    assert contents()["person-4"] == [("a", 4), ("b", 1)]
    assert "registry    registry: 13 identities of 20 tracks in 2 videos" in capsys.readouterr().out
    assert stat.S_IMODE(REGISTRY.stat().st_mode) == 0o700


def test_a_name_that_a_person_gave_stays(capsys: pytest.CaptureFixture[str]) -> None:
    first_two_videos()
    with open_store(REGISTRY) as store:
        rename_identity(store, "person-4", "Ann")
        with pytest.raises(UsageError, match="has an identity 'Ann' already"):
            rename_identity(store, "person-5", "Ann")
        with pytest.raises(InputError, match="without a slash"):
            rename_identity(store, "person-5", "../x")
        with pytest.raises(UsageError, match="no identity 'person-4'"):
            rename_identity(store, "person-4", "Bob")
    identify("b.npz")
    assert named()["b", 1] == "Ann"


def test_a_video_given_again_adds_nothing_and_one_tracked_again_replaces_its_tracks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first_two_videos()
    identify("b.npz")
    before, names = contents(), named()
    identify("b.npz")
    assert contents() == before
    assert named() == names
    write_tracks(Path("b.npz"), [3, 4], camera=1)
    identify("b.npz")
    assert "'b' was tracked again" in capsys.readouterr().err
    after = contents()
    assert after["person-4"] == [("a", 4), ("b", 1)]
    assert "person-11" not in after, "nobody is left of it"
    Path("other").mkdir()
    shutil.move(write_tracks(Path("other/a.npz"), [1]), "a.npz")
    with open_store(REGISTRY) as store:
        store.rows("UPDATE videos SET meta = replace(meta, 'a.mp4', 'elsewhere/a.mp4') WHERE name = 'a'")
    identify("a.npz", code=2)
    assert "the registry has another video with the name 'a'" in capsys.readouterr().err
    assert contents() == after


def test_a_large_registry_compares_what_is_new_only_and_names_it_as_before(monkeypatch, capsys) -> None:
    compared: list[int] = []
    pairs = assignment.likely_pairs

    def counted(rows, least, can_be_one, new=None):
        compared.append(len(rows) if new is None else len(new))
        return pairs(rows, least, can_be_one, new)

    monkeypatch.setattr(assignment, "likely_pairs", counted)
    write_tracks(Path("a.npz"), list(range(40)))
    write_tracks(Path("b.npz"), [3, 4, 48], camera=1)
    identify("a.npz")
    shutil.copytree(REGISTRY, "apart")
    identify("b.npz")
    full, whole = named(), contents()
    assert compared == [40, 43]
    # The same with a registry that counts as large.
    shutil.rmtree(REGISTRY)
    Path("apart").rename(REGISTRY)
    before = contents()
    monkeypatch.setattr(identity_store, "COMPARED_ANEW", 20)
    identify("b.npz")
    assert compared == [40, 43, 3]
    assert named() == full
    assert contents() == whole
    identify("a.npz")
    assert named() == {key: name for name, keys in before.items() for key in keys}, "nothing is new"
    # It has grown by a tenth: all tracks are compared, and cosines calibrated with them.
    write_tracks(Path("c.npz"), [5, 6, 49], camera=2)
    identify("c.npz")
    assert compared == [40, 43, 3, 0, 46]
    assert [named()["c", track] for track in (1, 2)] == ["person-6", "person-7"]


def test_what_a_person_decided_holds_in_later_runs() -> None:
    first_two_videos()
    with open_store(REGISTRY) as store:
        merge_identities(store, "person-1", "person-2")
    identify("b.npz")
    assert contents()["person-1"] == [("a", 1), ("a", 2)]
    with open_store(REGISTRY) as store:
        (number,) = [track.number for track in store.tracklets("person-4") if track.video == "b"]
        split = split_identity(store, [number])
        assert store.different_pairs() == [(("a", 4), ("b", 1))]
        with pytest.raises(UsageError, match="nothing would be left"):
            split_identity(store, [number])
    write_tracks(Path("c.npz"), [3, 48, 49], camera=2)
    identify("c.npz")
    assert named()["c", 1] in (split, "person-4")
    assert contents()["person-4"][0] == ("a", 4)
    assert contents()[split][0] == ("b", 1)


def test_a_forgotten_identity_leaves_nothing_and_does_not_come_back() -> None:
    first_two_videos()
    with open_store(REGISTRY) as store:
        rename_identity(store, "person-4", "Ann Hiddenname")
    edit_registry(REGISTRY, "naming", lambda store: rename_identity(store, "Ann Hiddenname", "Eve Hiddenname"))
    undo_edit(REGISTRY)
    edit_registry(REGISTRY, "merging", lambda store: merge_identities(store, "Ann Hiddenname", "person-5"))
    undo_edit(REGISTRY)
    edit_registry(REGISTRY, "naming Ann Hiddenname", lambda store: decide(store, 4, 5, same=False))
    with open_store(REGISTRY, keeps_edits=True) as store:
        assert store.rows("SELECT what FROM edits") == [("naming Ann Hiddenname",)]
        (REGISTRY / "Ann Hiddenname").mkdir()
        (REGISTRY / "Ann Hiddenname" / "own.jpg").write_bytes(b"x")
    with open_store(REGISTRY) as store:
        vectors = store.table("a").tracks["embedding"]
    (REGISTRY / ".embeddings-x.npz").write_bytes(b"x")
    with open_store(REGISTRY) as store:
        gone = forget_identity(store, "Ann Hiddenname")
    assert gone.tracks == (("a", 4),)
    assert gone.images == 1
    assert sorted(path.name for path in REGISTRY.iterdir()) == [INDEX]
    raw = (REGISTRY / INDEX).read_bytes()
    assert b"Hiddenname" not in raw
    assert vectors[3].tobytes() not in raw
    assert vectors[4].tobytes() in raw
    identify("a.npz")
    assert ("a", 4) not in named()


@pytest.mark.slow
def test_images_of_a_registry_are_a_gallery(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = write_scene(Path.cwd())
    words = ["identify", "scene.mp4", "--dets", str(scene.dets), "--embedder", "histogram", "--no-progress"]
    assert main([*words, "--registry", "registry", "--out-dir", "out"]) == 0
    images = sorted(REGISTRY.glob("*/*.jpg"))
    assert {path.parent.name for path in images} == {"box-1", "box-2"}
    looks = {path.parent.name: cv2.imread(str(path)).reshape(-1, 3).mean(axis=0).argmax() for path in images}
    assert looks == {"box-1": 2, "box-2": 0}, "red and blue in BGR"
    track = ["track", "scene.mp4", "--dets", str(scene.dets), "--embedder", "histogram", "--gallery", "registry"]
    assert main([*track, "--gallery-match-threshold", "0.5", "--save-csv", "named.csv", "--no-progress"]) == 0
    assert "box-2" in Path("named.csv").read_text()
    # The source is away: a notice, and the images come with a later run.
    shutil.rmtree(REGISTRY)
    Path("scene.mp4").rename("away.mp4")
    capsys.readouterr()
    read: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(registry_images, "_plan", lambda store, name, digest: read.append(name))
        identify("out/scene/embeddings.npz")
    assert "no images of 'embeddings' in the registry: video '" in capsys.readouterr().err
    assert read == [], "its embeddings are not read in vain"
    Path("away.mp4").rename("scene.mp4")
    identify("out/scene/embeddings.npz")
    assert sorted(REGISTRY.glob("*/*.jpg"))
    # Anonymised: none.
    shutil.rmtree(REGISTRY)
    assert main([*words, "--anonymize", "blur", "--registry", "registry", "--out-dir", "blurred"]) == 0
    assert not sorted(REGISTRY.glob("*/*.jpg"))


def other_model() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODEL, "name", "clip")
        patch.setitem(MODEL, "fingerprint", "ffff")
        write_tracks(Path("other.npz"), [0, 1])


def newer() -> None:
    with sqlite3.connect(REGISTRY / INDEX) as connection:
        connection.execute("UPDATE facts SET value = 'registry-v9' WHERE key = 'schema_version'")


def torn() -> None:
    whole = (REGISTRY / INDEX).read_bytes()
    (REGISTRY / INDEX).write_bytes(whole[:5000] + b"\xff" * 3000)


@pytest.mark.parametrize(
    ("damage", "given", "code", "messages"),
    [
        (other_model, "other.npz", 2, ["osnet", "clip", "different models"]),
        (newer, "b.npz", 3, ["is registry-v9, this program reads registry-v1"]),
        (torn, "b.npz", 3, ["is damaged, or no registry"]),
    ],
)
def test_bad_registries_stay_as_they_are(damage, given, code, messages, capsys) -> None:
    first_two_videos()
    damage()
    before = (REGISTRY / INDEX).read_bytes()
    shutil.rmtree("out")
    identify(given, code=code)
    err = capsys.readouterr().err
    assert all(message in err for message in messages), err
    assert (REGISTRY / INDEX).read_bytes() == before
    assert not list(Path("out").glob("*"))


def test_a_folder_that_is_no_registry_and_one_in_use(capsys, monkeypatch) -> None:
    write_tracks(Path("a.npz"), list(range(10)))
    REGISTRY.mkdir()
    (REGISTRY / "notes.txt").write_text("mine")
    identify("a.npz", code=2)
    assert "is not empty and has no registry.sqlite" in capsys.readouterr().err
    (REGISTRY / "notes.txt").unlink()
    identify("a.npz")
    monkeypatch.setattr(registry_index, "WAIT_S", 0.05)
    with open_store(REGISTRY):
        identify("a.npz", code=2)
    assert "registry 'registry' is in use by another run" in capsys.readouterr().err
    with pytest.raises(InputError, match="is no registry"), open_store(Path("nowhere")):
        pass


def test_a_run_that_waits_for_another_one_says_so(capsys, monkeypatch) -> None:
    write_tracks(Path("a.npz"), list(range(10)))
    identify("a.npz")
    before = contents()
    monkeypatch.setattr(registry_index, "QUIET_S", 0.05)
    other = sqlite3.connect(REGISTRY / INDEX, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    # The other run ends as soon as this one has said that it waits.
    said: list[str] = []
    monkeypatch.setattr(registry_index.log, "warning", lambda text, *_: (said.append(text), other.execute("ROLLBACK")))
    identify("a.npz")
    other.close()
    assert said == ["registry '%s' is in use by another run: waiting up to %.0f s for it"]
    assert contents() == before
    assert "in use" not in capsys.readouterr().err


def test_images_follow_a_track_whose_identity_changes_while_they_are_cut_out(monkeypatch) -> None:
    scene = write_scene(Path.cwd())
    cut = registry_images.track_images

    def renamed_meanwhile(*given):
        with open_store(REGISTRY) as store:
            rename_identity(store, "box-1", "Ann")
            forget_identity(store, "box-2")
        return cut(*given)

    monkeypatch.setattr(registry_images, "track_images", renamed_meanwhile)
    words = ["identify", "scene.mp4", "--dets", str(scene.dets), "--embedder", "histogram", "--no-progress"]
    assert main([*words, "--registry", "registry", "--out-dir", "out"]) == 0
    assert {path.parent.name for path in REGISTRY.glob("*/*")} == {"Ann"}
    assert len(list(REGISTRY.glob("Ann/*.jpg"))) == 3
    with open_store(REGISTRY) as store:
        (track,) = store.tracklets()
        assert sorted(REGISTRY.glob("Ann/*.jpg")) == store.image_paths([track.number])


@pytest.mark.slow
def test_two_runs_at_once_are_both_added() -> None:
    for name, people in (("a", range(10)), ("b", range(5, 15))):
        write_tracks(Path(f"{name}.npz"), list(people), camera=int(name == "b"))
    command = [sys.executable, "-m", "mot_dinov3", "identify", "--registry", "registry"]
    runs = [subprocess.Popen([*command, f"{name}.npz", "--out-dir", f"out_{name}"]) for name in "ab"]
    assert [run.wait() for run in runs] == [0, 0]
    assert sum(map(len, contents().values())) == 20
    assert sum(len(tracks) > 1 for tracks in contents().values()) == 5
    assert {**named("out_a"), **named("out_b")} == {key: name for name, keys in contents().items() for key in keys}


def test_embeddings_come_back_as_they_were() -> None:
    write_tracks(Path("a.npz"), list(range(10)), name=["Ann", *[""] * 9])
    identify("a.npz")
    with np.load("a.npz") as saved, open_store(REGISTRY) as store:
        table = store.table("a")
        for key, column in table.tracks.items():
            assert np.array_equal(column, saved[key]), key
        for key, column in table.crops.items():
            assert np.array_equal(column, saved[f"crop_{key}"]), key
    with open_store(REGISTRY) as store:
        assert store.identity_names()["Ann"], "a person named it, in a gallery"
        assert not store.identity_names()["person-1"]


@pytest.mark.parametrize("place", ["registry", "out"])
def test_a_person_is_found_by_an_image(searchable: None, place: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    words = ["--in", place, "--embedder", "histogram", "--save-json", "found.json"]
    assert main(["find", "--image", "red.png", "blue.png", *words]) == 0
    found = json.loads(Path("found.json").read_text())
    assert found["schema_version"] == "find-v1"
    best = {query["query"]: query["found"][0] for query in found["queries"]}
    assert {name: one["identity"] for name, one in best.items()} == {"red.png": "box-1", "blue.png": "box-2"}
    for query in found["queries"]:
        confidences = [one["confidence"] for one in query["found"]]
        assert confidences == sorted(confidences, reverse=True)
        assert sum(confidences) < 1, "it may be nobody"
    out = capsys.readouterr().out
    assert "red.png:\n  box-1" in out
    assert "scene 0:00.0–0:03.9" in out


def test_a_gallery_is_searched_for_and_mistakes_are_named(searchable: None, capsys: pytest.CaptureFixture[str]) -> None:
    Path("known/Red").mkdir(parents=True)
    shutil.copy("red.png", "known/Red")
    assert main(["find", "--gallery", "known", "--in", "registry", "--embedder", "histogram"]) == 0
    assert "Red:\n  box-1" in capsys.readouterr().out
    for words, code, message in (
        (["--in", "registry"], 2, "give --image FILE or --gallery DIR"),
        (["--image", "red.png"], 2, "--in is missing"),
        (["--image", "red.png", "--in", "known"], 3, "has neither registry.sqlite nor identities.json"),
        (["--image", "none.png", "--in", "out"], 3, "none.png"),
    ):
        assert main(["find", *words, "--embedder", "histogram"]) == code
        assert message in capsys.readouterr().err
    with open_store(REGISTRY) as store:
        store.rows('UPDATE videos SET meta = replace(meta, \'"fingerprint": "\', \'"fingerprint": "9\')')
    assert main(["find", "--image", "red.png", "--in", "registry", "--embedder", "histogram"]) == 2
    assert "'registry' has embeddings of histogram (9" in capsys.readouterr().err


def test_a_registry_in_use_is_an_error_of_forget_even_where_results_are_not(
    searchable: None, capsys, monkeypatch
) -> None:
    monkeypatch.setattr(registry_index, "WAIT_S", 0.05)
    with open_store(REGISTRY):
        assert main(["forget", "box-1", "--in", "out", "--registry", "registry"]) == 2
    assert "registry 'registry' is in use by another run" in capsys.readouterr().err
    assert "box-1" in contents()
    assert main(["forget", "box-1", "--in", "out", "--registry", "registry"]) == 0
    assert list(contents()) == ["box-2"]


def test_forget_deletes_a_person_from_registry_and_results(
    searchable: None, capsys: pytest.CaptureFixture[str]
) -> None:
    other = named()["scene", 1] == "box-1"
    lost = 1 if other else 2
    capsys.readouterr()
    before = Path("out/identities.html").read_text()
    assert main(["forget", "box-1", "--registry", "registry", "--in", "out"]) == 0
    said = capsys.readouterr().out
    page = Path("out/identities.html").read_text()
    assert (before.count("<article"), page.count("<article")) == (2, 1)
    assert (before.count("<img"), page.count("<img")) == (2, 1)
    for text, people in ((before, 2), (page, 1)):
        assert f"<b>{people}</b><span>identities</span><small>0 in several videos" in text
        assert f"<b>{people}</b><span>tracks</span>" in text
    assert json.loads(Path("out/identities.json").read_text())["videos"][0]["tracks"] == 1
    for text in (page, *(Path(f"out/scene/identified.{kind}").read_text() for kind in ("json", "csv"))):
        assert "box-1" not in text
        assert "box-2" in text
    assert "changed     out/identities.html" in said
    assert "deleted     'box-1' in registry: 1 track, 3 images" in said
    assert "remains     out/scene/tracked.json" in said
    assert list(contents()) == ["box-2"]
    assert set(named().values()) == {"box-2"}
    assert [one["identity"] for one in json.loads(Path("out/identities.json").read_text())["identities"]] == ["box-2"]
    with np.load("out/scene/embeddings.npz") as saved:
        assert lost not in saved["track_id"]
        assert lost not in saved["crop_track_id"]
        assert len(saved["track_id"]) == 1
    assert main(["forget", "box-1", "--in", "out"]) == 2
    assert "has no identity 'box-1'; did you mean 'box-2'?" in capsys.readouterr().err
    assert main(["forget", "box-1", "--registry", "registry"]) == 2
    assert "has no identity 'box-1'" in capsys.readouterr().err
    assert main(["forget", "box-1"]) == 2
    assert main(["forget", "box-1", "--in", "registry"]) == 3


def test_a_forgetting_that_was_stopped_is_completed_by_the_same_command(searchable: None, capsys, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(forgetting, "csv_without", lambda *_: signal.raise_signal(signal.SIGINT))
        assert main(["forget", "box-1", "--in", "out"]) != 0
    assert "box-1" in Path("out/identities.csv").read_text()
    assert main(["forget", "box-1", "--in", "out"]) == 0
    for path in (*Path("out").glob("identities.*"), *Path("out/scene").glob("identified.*")):
        assert "box-1" not in path.read_text(), path
    assert len(np.load("out/scene/embeddings.npz")["track_id"]) == 1
    # Results that have the person no longer do not keep the registry from being cleaned.
    assert main(["forget", "box-1", "--in", "out", "--registry", "registry"]) == 0
    assert "'out/identities.json' has no identity 'box-1'" in capsys.readouterr().err
    assert list(contents()) == ["box-2"]


def test_a_damaged_file_of_tracks_is_told_before_anything_is_deleted(
    searchable: None, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("out/scene/identified.json").write_text('{"schema_version": "track-v1", "frames": [')
    before = {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main(["forget", "box-1", "--in", "out"]) == 3
    assert "identified.json" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in before} == before


def test_names_outside_the_results_are_listed(searchable: None, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree("out/scene", "elsewhere")
    shutil.rmtree("out")
    identify("elsewhere/embeddings.npz", out="again")
    capsys.readouterr()
    assert main(["forget", "box-1", "--in", "again"]) == 0
    said = capsys.readouterr().out
    for path in ("again/embeddings/identified.json", "elsewhere/tracked.json", "elsewhere/identified.json"):
        assert f"remains     {path}" in said.splitlines()
