"""What a person sees of a registry, and edits that can be undone: names, merges, splits, decisions, suggestions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apps.test_identities import write_tracks
from apps.test_identity_registry import REGISTRY, contents, first_two_videos, identify, searchable
from mot_dinov3.apps.identities import identity_store
from mot_dinov3.apps.identities.identity_store import IdentityStore, open_store
from mot_dinov3.apps.identities.registry_edits import (
    forget_identity,
    merge_identities,
    rename_identity,
    split_identity,
)
from mot_dinov3.apps.identities.registry_history import RegistryHistory, RegistryState
from mot_dinov3.apps.identities.registry_overview import identities, registry_model, shown_videos, tracks_of
from mot_dinov3.apps.identities.suggested_joins import Suggestion, suggest
from mot_dinov3.core.errors import OutputError, UnknownNameError, UsageError

pytestmark = pytest.mark.usefixtures("elsewhere")


def state() -> tuple[RegistryState, list[str]]:
    """All that an edit may change: rows, and where the images are."""
    with open_store(REGISTRY, reading=True) as store:
        return RegistryState.of(store), sorted(path.as_posix() for path in REGISTRY.glob("*/*"))


def test_identities_and_their_tracks_are_shown_with_their_best_crops() -> None:
    searchable()
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
def test_an_edit_that_is_undone_leaves_no_trace(work: Callable[[IdentityStore], Any]) -> None:
    searchable()
    (REGISTRY / "box-2" / "own.jpg").write_bytes(b"a person added it")
    before = state()
    history = RegistryHistory(REGISTRY)
    history.edit("an edit", work)
    assert state() != before
    assert history.last_step == "an edit"
    assert history.undo() == "an edit"
    after = state()
    assert after[0] == before[0]
    assert [name for name in after[1] if "own" not in name] == [name for name in before[1] if "own" not in name]
    assert len(after[1]) == len(before[1]), "an image that a person added is kept"
    with pytest.raises(UsageError, match="nothing to undo"):
        history.undo()


def test_several_edits_are_undone_in_turn() -> None:
    first_two_videos()
    identify("b.npz")
    history, states = RegistryHistory(REGISTRY), [state()]
    edits: list[Callable[[IdentityStore], Any]] = [
        lambda store: rename_identity(store, "person-4", "Ann"),
        lambda store: merge_identities(store, "Ann", "person-5"),
        lambda store: split_identity(store, [store.tracklets("Ann")[1].number]),
    ]
    for number, work in enumerate(edits):
        history.edit(f"edit {number}", work)
        states.append(state())
    for number in (2, 1, 0):
        assert history.undo() == f"edit {number}"
        assert state() == states[number]


def test_nothing_is_undone_over_the_changes_of_another_program_or_a_forgotten_person() -> None:
    first_two_videos()
    history = RegistryHistory(REGISTRY)
    history.edit("naming", lambda store: rename_identity(store, "person-4", "Ann"))
    identify("b.npz")
    before = state()
    assert history.last_step == ""
    with pytest.raises(UsageError, match="changed by another program"):
        history.undo()
    assert state() == before
    history.edit("naming", lambda store: rename_identity(store, "Ann", "Eve"))
    history.edit("forgetting", lambda store: forget_identity(store, "Eve"), can_be_undone=False)
    assert history.last_step == ""
    with pytest.raises(UsageError, match="nothing to undo"):
        history.undo()


def test_an_edit_that_fails_changes_nothing() -> None:
    searchable()
    before, history = state(), RegistryHistory(REGISTRY)

    def work(store: IdentityStore) -> None:
        rename_identity(store, "box-1", "box-2")

    with pytest.raises(UsageError, match="has an identity 'box-2' already"):
        history.edit("naming", work)
    assert state() == before
    assert history.last_step == ""


def test_a_registry_can_be_read_while_another_run_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    first_two_videos()
    monkeypatch.setattr(identity_store, "WAIT_S", 0.05)
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
