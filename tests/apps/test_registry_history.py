"""What a person sees of a registry, and edits that can be undone: names, merges, splits, decisions, suggestions."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apps.test_identities import write_tracks
from apps.test_identity_registry import REGISTRY, contents, first_two_videos, identify
from mot_dinov3.apps.identities import registry_history, registry_index, registry_moves
from mot_dinov3.apps.identities.identity_store import IdentityStore, open_store
from mot_dinov3.apps.identities.registry_edits import (
    forget_identity,
    merge_identities,
    rename_identity,
    split_identity,
)
from mot_dinov3.apps.identities.registry_history import edit_registry, last_edit, undo_edit
from mot_dinov3.apps.identities.registry_index import INDEX
from mot_dinov3.apps.identities.registry_overview import identities, registry_model, shown_videos, tracks_of
from mot_dinov3.apps.identities.suggested_joins import Suggestion, suggest
from mot_dinov3.core.errors import OutputError, OutputLostError, UnknownNameError, UsageError

pytestmark = pytest.mark.usefixtures("elsewhere")


def state() -> tuple[list[Any], list[str]]:
    """All that an edit may change: rows, and where the images are."""
    with open_store(REGISTRY, reading=True) as store:
        rows = [
            store.rows(f"SELECT {columns} ORDER BY 1, 2")
            for columns in (
                "id, name, by_person FROM identities", "id, identity FROM tracklets", "one, other, same FROM decisions"
            )
        ]  # fmt: skip
        return rows, sorted(path.as_posix() for path in REGISTRY.glob("*/*"))


def undone() -> str:
    """The edit that would be undone, as a studio that was started just now reads it."""
    with open_store(REGISTRY, reading=True) as store:
        return last_edit(store)


def test_identities_and_their_tracks_are_shown_with_their_best_crops(searchable: None) -> None:
    with open_store(REGISTRY, reading=True) as store:
        found = {one.name: one for one in identities(store)}
        tracks, seconds = tracks_of(store, "box-2")
        (video,), model = shown_videos(store), registry_model(store)
        with pytest.raises(UnknownNameError, match="no identity 'box-3'"):
            tracks_of(store, "box-3")
    assert list(found) == ["box-1", "box-2"]
    (track,) = tracks
    assert (found["box-2"].tracks, found["box-2"].videos, found["box-2"].cameras) == (1, 1, 1)
    assert found["box-2"].image in track.images
    assert found["box-1"].image not in track.images
    assert all((REGISTRY / "box-2" / name).exists() for name in track.images)
    assert (track.video, track.camera, track.class_name, track.frame) == ("scene", "scene", "box", 0)
    assert track.first_time < track.last_time <= seconds["scene"] < 4
    assert (video.name, Path(video.source).name, video.tracks) == ("scene", "scene.mp4", 2)
    assert model["name"] == "histogram"


def merge(store: IdentityStore) -> None:
    merge_identities(store, "box-1", "box-2")


def merge_into_a_named_one(store: IdentityStore) -> None:
    rename_identity(store, "box-2", "Ann")
    merge_identities(store, "box-1", "Ann")


def rename(store: IdentityStore) -> None:
    rename_identity(store, "box-1", "Bob")


def merge_and_split(store: IdentityStore) -> None:
    merge_identities(store, "box-1", "box-2")
    split_identity(store, [store.tracklets("box-1")[0].number])


@pytest.mark.parametrize("work", [merge, merge_into_a_named_one, rename, merge_and_split])
def test_an_edit_that_is_undone_leaves_no_trace(searchable: None, work: Callable[[IdentityStore], Any]) -> None:
    (REGISTRY / "box-2" / "own.jpg").write_bytes(b"a person added it")
    before = state()
    edit_registry(REGISTRY, "an edit", work)
    assert state() != before
    assert undone() == "an edit"
    assert undo_edit(REGISTRY) == "an edit"
    after = state()
    assert after[0] == before[0]
    assert [name for name in after[1] if "own" not in name] == [name for name in before[1] if "own" not in name]
    assert len(after[1]) == len(before[1]), "an image that a person added is kept"
    with pytest.raises(UsageError, match="nothing to undo"):
        undo_edit(REGISTRY)


def test_several_edits_are_undone_in_turn() -> None:
    first_two_videos()
    identify("b.npz")
    states = [state()]
    edits: list[Callable[[IdentityStore], Any]] = [
        lambda store: rename_identity(store, "person-4", "Ann"),
        lambda store: merge_identities(store, "Ann", "person-5"),
        lambda store: split_identity(store, [store.tracklets("Ann")[1].number]),
    ]
    for number, work in enumerate(edits):
        edit_registry(REGISTRY, f"edit {number}", work)
        states.append(state())
    for number in (2, 1, 0):
        assert undo_edit(REGISTRY) == f"edit {number}"
        assert state() == states[number]


def test_nothing_is_undone_over_the_changes_of_another_program_or_a_forgotten_person() -> None:
    first_two_videos()
    edit_registry(REGISTRY, "naming", lambda store: rename_identity(store, "person-4", "Ann"))
    identify("b.npz")
    before = state()
    assert undone() == ""
    with pytest.raises(UsageError, match="nothing to undo"):
        undo_edit(REGISTRY)
    assert state() == before
    edit_registry(REGISTRY, "naming", lambda store: rename_identity(store, "Ann", "Eve"))
    edit_registry(REGISTRY, "forgetting", lambda store: forget_identity(store, "Eve"), can_be_undone=False)
    assert undone() == ""
    with pytest.raises(UsageError, match="nothing to undo"):
        undo_edit(REGISTRY)


@pytest.mark.parametrize("work", [merge, merge_into_a_named_one, rename, merge_and_split])
def test_images_follow_an_edit_whose_run_ended_before_it_moved_them(
    searchable: None, work: Callable[[IdentityStore], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (REGISTRY / "box-2" / "own.jpg").write_bytes(b"a person added it")
    shutil.copytree(REGISTRY, "apart")
    edit_registry(REGISTRY, "an edit", work)
    whole = state()
    shutil.rmtree(REGISTRY)
    Path("apart").rename(REGISTRY)
    before = state()

    def stopped(*_: Any) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(registry_moves, "_move", stopped)
        edit_registry(REGISTRY, "an edit", work)
    assert sorted(path.as_posix() for path in REGISTRY.glob("*/*")) == before[1]
    (rows, paths), again = state(), state()
    assert (rows, paths) == whole, "the next one that opens the registry moves them, though it only reads"
    assert again == whole
    assert undo_edit(REGISTRY) == "an edit"
    assert state()[0] == before[0]


def test_moves_that_were_made_and_not_yet_forgotten_are_made_again_in_vain(
    searchable: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = {path.name for path in REGISTRY.glob("box-1/*")}
    groups = registry_moves.make_next

    def forgotten(connection: sqlite3.Connection, folder: Path) -> bool:
        if groups(connection, folder):
            raise KeyboardInterrupt
        return False

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(registry_moves, "make_next", forgotten)
        edit_registry(REGISTRY, "naming", rename)
    assert {path.name for path in REGISTRY.glob("Bob/*")} == images
    with open_store(REGISTRY) as store:
        assert store.rows("SELECT * FROM moves") == []
    assert {path.name for path in REGISTRY.glob("Bob/*")} == images
    assert not (REGISTRY / "box-1").exists()


def test_images_that_cannot_be_moved_yet_hinder_nobody_who_reads(
    searchable: None, monkeypatch: pytest.MonkeyPatch
) -> None:

    def refused(source: Path, *_: Any) -> None:
        raise PermissionError(13, "Permission denied", str(source))

    with monkeypatch.context() as patch:
        patch.setattr(registry_moves, "_move", refused)
        with pytest.raises(OutputLostError, match="box-1"):
            edit_registry(REGISTRY, "naming", rename)
        assert undone() == "naming"
        with pytest.raises(OutputLostError, match="box-1"), open_store(REGISTRY):
            pass
    assert undone() == "naming"
    assert len(list(REGISTRY.glob("Bob/*.jpg"))) == 3


def test_a_registry_of_before_edits_were_kept_is_read_and_edited(searchable: None) -> None:
    with contextlib.closing(sqlite3.connect(REGISTRY / INDEX)) as connection:
        connection.executescript("DROP TABLE edits; DROP TABLE moves;")
    before = state()
    assert undone() == ""
    edit_registry(REGISTRY, "naming", rename)
    assert undo_edit(REGISTRY) == "naming"
    assert state() == before


def test_the_last_edits_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    first_two_videos()
    monkeypatch.setattr(registry_history, "MAX_UNDO", 3)
    for name in "ABCDE":
        edit_registry(
            REGISTRY, name, lambda store, name=name: rename_identity(store, store.tracklets()[0].identity, name)
        )
    assert [undo_edit(REGISTRY) for _ in range(3)] == ["E", "D", "C"]
    assert undone() == ""


def test_an_edit_costs_the_same_where_there_are_many_tracks(monkeypatch: pytest.MonkeyPatch) -> None:
    first_two_videos()
    steps: list[int] = []
    connect = registry_index._connect

    def counted(*given: Any) -> sqlite3.Connection:
        connection = connect(*given)
        steps.append(0)

        def step() -> int:
            steps[-1] += 1
            return 0

        connection.set_progress_handler(step, 1)
        return connection

    monkeypatch.setattr(registry_index, "_connect", counted)
    edit_registry(REGISTRY, "splitting", lambda store: rename_identity(store, "person-4", "Ann"))
    few = steps[-1]
    with open_store(REGISTRY) as store:
        columns = "track_id, identity, confidence, row, crops, class_name, name"
        store.rows(
            f"INSERT INTO tracklets (video, {columns}) SELECT video, 1000 * number + {columns} FROM tracklets, "
            "(WITH RECURSIVE counted (number) AS (SELECT 1 UNION SELECT number + 1 FROM counted LIMIT 300) "
            "SELECT number FROM counted)"
        )
    edit_registry(REGISTRY, "splitting", lambda store: rename_identity(store, "Ann", "Bob"))
    assert steps[-1] < 1.2 * few, "3000 tracks"


def test_an_edit_that_fails_changes_nothing(searchable: None) -> None:
    before = state()

    def work(store: IdentityStore) -> None:
        rename_identity(store, "box-2", "Ann")
        rename_identity(store, "box-1", "Ann")

    with pytest.raises(UsageError, match="has an identity 'Ann' already"):
        edit_registry(REGISTRY, "naming", work)
    assert state() == before
    assert undone() == ""


def test_a_registry_can_be_read_while_another_run_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    first_two_videos()
    monkeypatch.setattr(registry_index, "WAIT_S", 0.05)
    with open_store(REGISTRY) as store:
        rename_identity(store, "person-4", "Ann")
        with open_store(REGISTRY, reading=True) as other:
            assert "person-4" in other.identity_names()
        with pytest.raises(OutputError, match="in use by another run"), open_store(REGISTRY, wait_s=0.05):
            pass
    assert "Ann" in contents()


def suggestions() -> list[Suggestion]:
    with open_store(REGISTRY, reading=True) as store:
        return suggest(store.videos(), store.different_pairs(), store.same_pairs())


def test_a_person_with_two_names_is_suggested_until_that_is_decided() -> None:
    first_two_videos()
    identify("b.npz")
    with open_store(REGISTRY) as store:
        (number,) = [track.number for track in store.tracklets("person-4") if track.video == "b"]
        split_identity(store, [number])
        store.rows("DELETE FROM decisions")
    best = suggestions()[0]
    assert {best.one, best.other} == {("a", 4), ("b", 1)}
    assert best.identities[0] != best.identities[1]
    assert best.probability > 0.9
    with open_store(REGISTRY) as store:
        merge_identities(store, *best.identities)
    assert not [one for one in suggestions() if {one.one, one.other} == {best.one, best.other}]


def test_a_track_of_another_person_is_suggested_to_be_split_off() -> None:
    first_two_videos()
    identify("b.npz")
    with open_store(REGISTRY) as store:
        (number,) = [track.number for track in store.tracklets("person-11")]
        store.rows(
            "UPDATE tracklets SET identity = (SELECT id FROM identities WHERE name = 'person-1') WHERE id = ?", [number]
        )
    (best, *_) = suggestions()
    assert best.identities == ("person-1", "person-1")
    assert {best.one, best.other} == {("a", 1), ("b", 8)}
    assert best.probability < 0.2
    with open_store(REGISTRY) as store:
        split_identity(store, [number])
    assert not [one for one in suggestions() if {one.one, one.other} == {best.one, best.other}]


def test_few_tracks_have_no_suggestions() -> None:
    write_tracks(Path("a.npz"), [0])
    identify("a.npz")
    assert suggestions() == []
