"""The learnt threshold: what a gallery and a video say about strangers, on embeddings made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mot_dinov3.core.structures import Detections, FloatArray
from mot_dinov3.gallery.config import AUTO, GalleryConfig
from mot_dinov3.gallery.evidence import WEIGHT, Leaders, LeadModel, TrackEvidence, evidence_rows
from mot_dinov3.gallery.folder import KnownIdentities
from mot_dinov3.gallery.identifier import Identifier
from mot_dinov3.gallery.left_out import gallery_strangers, same_persons
from mot_dinov3.gallery.open_set import OpenSetThreshold
from mot_dinov3.gallery.strangers import StrangerDistribution, pearson_quantile

LEARNT = GalleryConfig(gallery_match_threshold=AUTO)
VIEWS = 8


def unit(rows: FloatArray) -> FloatArray:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), np.float32)


def people(count: int, seed: int, *, noise: float = 0.8, dim: int = 40) -> FloatArray:
    """``(count, 2, VIEWS, dim)`` embeddings of people from two cameras, of which each adds something of its own."""
    rng = np.random.default_rng(seed)
    person = rng.normal(size=(count, 1, 1, dim))
    camera = 0.4 * rng.normal(size=(1, 2, 1, dim))
    return unit(person + camera + noise * rng.normal(size=(count, 2, VIEWS, dim)))


def in_a_cone(embedding: FloatArray, height: float) -> FloatArray:
    """The same, with a constant added: all cosines are nearer to 1, none changes places with another."""
    constant = np.full((*embedding.shape[:-1], 1), height)
    return unit(np.concatenate([embedding, constant], axis=-1))


def gallery(images: FloatArray) -> KnownIdentities:
    """A gallery of ``(k, m, d)`` images."""
    k, m, d = images.shape
    return KnownIdentities(tuple(f"p{i}" for i in range(k)), images.reshape(k * m, d), np.repeat(np.arange(k), m))


def shown(embedding: FloatArray, tracks: list[int]) -> Detections:
    boxes = np.array([[50.0 * i, 0, 50.0 * i + 40, 90] for i in range(len(tracks))], np.float32)
    return Detections(boxes, track_id=tracks, embedding=embedding, fresh=[True] * len(tracks))


def names_of_boxes(identifier: Identifier, queries: FloatArray) -> list[list[str | None]]:
    """Names of all views of all people, each in a frame of its own."""
    views = queries.shape[1]
    return [
        [identifier.identify(shown(view[None], [0]), person * views + i).gallery_id[0] for i, view in enumerate(own)]
        for person, own in enumerate(queries)
    ]


def names_of_tracks(identifier: Identifier, queries: FloatArray, together: int = 3) -> list[str | None]:
    """Names of people at the end of their tracks, `together` in a frame."""
    names: list[str | None] = []
    frame = 0
    for start in range(0, len(queries), together):
        group = queries[start : start + together]
        for view in range(group.shape[1]):
            rows = identifier.identify(shown(group[:, view], list(range(start + 1, start + 1 + len(group)))), frame)
            frame += 1
        names += rows.gallery_id.tolist()
    return names


def test_the_upper_percentile_of_a_normal_and_of_an_exponential_distribution() -> None:
    assert pearson_quantile(0.0) == pytest.approx(2.3263, abs=1e-4)
    assert pearson_quantile(2.0) == pytest.approx(np.log(100) - 1, abs=0.03)


def test_few_tracks_put_the_threshold_farther_from_strangers() -> None:
    def percentile(tracks: float) -> float:
        return StrangerDistribution(tracks, 0.2, 0.01, 0.0, 0.1, tracks).percentile()

    assert percentile(1e9) == pytest.approx(0.2 + 0.1 * 2.3263, abs=1e-4)
    assert percentile(3) == pytest.approx(0.2 + 0.1 * 2.3263 * (4 / 3) ** 0.5, abs=1e-4)


def test_what_is_seen_counts_by_its_tracks_beside_what_is_assumed() -> None:
    assumed = StrangerDistribution.assumed(3, 0.6, 0.5)
    assert assumed.variance == pytest.approx((0.15 * 0.4) ** 2)
    seen = StrangerDistribution.of(np.array([0.2, 0.05, 0.014]), 0.1, 9)
    assert (seen.mean, seen.variance) == pytest.approx((0.2, 0.01))
    both = assumed.pooled(seen)
    assert (both.tracks, both.mean, both.typical) == pytest.approx((12, 0.3, 0.2))
    assert assumed.pooled(None) == assumed


def test_every_identity_of_a_gallery_is_a_stranger_to_the_others() -> None:
    # Cosines: a and b .6, a and c 0, b and c 0; so the nearest other is at .6 for a and b, and at 0 for c.
    a, b, c = [1.0, 0, 0], [0.6, 0.8, 0], [0, 0, 1.0]
    known = gallery(np.array([[a, a], [b, b], [c, c]], np.float32))
    said = gallery_strangers(known)
    assert said.person.tolist() == [0, 1, 2]
    assert said.own == pytest.approx(0, abs=1e-6)
    assert said.nearest is not None
    assert said.nearest.mean == pytest.approx(0.4, abs=1e-6)
    assert said.nearest.typical == pytest.approx(0.2, abs=1e-6)
    assert said.lead == pytest.approx(0.4, abs=1e-6)  # .6 over 0 twice, 0 over 0 once


def test_two_folders_of_one_person_are_told_and_do_not_pass_for_look_alikes(monkeypatch: pytest.MonkeyPatch) -> None:
    images = people(5, 1)[:, 0]
    doubled = gallery(np.stack([*images[:, :4], images[4, 4:]]))
    plain, twice = OpenSetThreshold(gallery(images[:, :4])), OpenSetThreshold(doubled)
    assert plain.duplicates() == []
    assert twice.duplicates()[0].endswith("count as one for the threshold: p4 = p5")
    assert twice.gallery.person.tolist() == [0, 1, 2, 3, 4, 4]
    assert twice.limits(0, 0).match > plain.limits(0, 0).match - 0.03
    monkeypatch.setattr("mot_dinov3.gallery.left_out.DUPLICATE", -9.0)  # as if they were two people
    assert OpenSetThreshold(doubled).limits(0, 0).match < plain.limits(0, 0).match - 0.1


def test_identities_of_one_image_are_never_taken_for_one_person() -> None:
    own = np.full(3, np.nan)
    distance = np.array([[0, 0.01, 0.5], [0.01, 0, 0.5], [0.5, 0.5, 0]])
    assert same_persons(np.arange(3), distance, own).tolist() == [0, 1, 2]


def test_an_identity_whose_images_differ_as_much_as_from_others_is_not_merged() -> None:
    own = np.array([0.5, 0.1, 0.1])
    distance = np.array([[0, 0.45, 0.5], [0.45, 0, 0.5], [0.5, 0.5, 0]])
    assert same_persons(np.arange(3), distance, own).tolist() == [0, 1, 2]


def test_the_runner_up_is_another_person_or_another_track() -> None:
    score = np.array([[0.7, 0.3], [0.6, 0.2]])
    both = Leaders.of(score, score, np.array([0, 1]))
    assert both.best.tolist() == [0, 0]
    assert both.second.tolist() == [0.6, 0.7]  # the other track is nearer to person 0 than their person 1
    alone = Leaders.of(score[:1], score[:1], np.array([0]))
    assert alone.second.tolist() == [0.3]
    one_person = Leaders.of(score[:1, :1], score[:1, :1], np.array([0]))
    assert one_person.second.tolist() == [-np.inf]


def test_a_track_that_another_one_beats_is_a_stranger_with_what_was_seen() -> None:
    score = np.array([[0.7], [0.6]])
    leads = LeadModel(np.full(2, 0.05), np.full(2, 0.3), 0.5)
    rows = evidence_rows(score, np.zeros(1), Leaders.of(score, score, np.array([0, 1])), leads)
    assert rows[:, WEIGHT].tolist() == [1, 1]
    assert rows[1, 1] == pytest.approx(0.6)
    assert rows[0, 1] < 0.7  # it may be the right one: as a stranger it would be not far above the other's .6


def test_a_row_without_a_runner_up_says_nothing() -> None:
    score = np.array([[0.7]])
    leads = LeadModel(np.full(1, 0.05), np.full(1, 0.3), 0.5)
    rows = evidence_rows(score, np.zeros(1), Leaders.of(score, score, np.array([0])), leads)
    assert not rows.any()


def test_a_long_track_counts_as_much_as_a_short_one_and_the_state_does_not_grow() -> None:
    total = np.zeros(3)
    long, short = TrackEvidence(), TrackEvidence()
    for row in ([1, 0.2, 0.0], [1, 0.4, 0.0], [1, 0.6, 0.0]):
        total += long.add(np.array(row))
    total += short.add(np.array([1, 0.0, 0.3]))
    assert total.tolist() == pytest.approx([2, 0.4, 0.3])
    settled = long.settle(np.array([1, 0.3, 0.0])) + long.settle(np.array([1, 0.5, 0.0]))
    assert settled.tolist() == pytest.approx([1, 0.5, 0])


@pytest.mark.slow
@pytest.mark.parametrize("known", [2, 3, 6, 20])
@pytest.mark.parametrize("images", [1, 8])
def test_known_people_are_named_and_hardly_a_stranger(known: int, images: int) -> None:
    named, wrong, false = [], 0, []
    for seed in range(12):
        everyone = people(2 * known, seed)
        identifier = Identifier(gallery(everyone[:known, 0, :images]), LEARNT, memory=False)
        order = np.random.default_rng(seed).permutation(2 * known)
        for person, names in zip(order, names_of_boxes(identifier, everyone[order, 1])):
            if person < known:
                named += [name == f"p{person}" for name in names]
                wrong += sum(name not in (None, f"p{person}") for name in names)
            else:
                false += [name is not None for name in names]
    assert np.mean(false) <= 0.015
    assert wrong <= 0.01 * len(named)
    assert np.mean(named) > (0.5 if images == 1 else 0.65)


def test_tracks_are_named_too() -> None:
    named, false = [], []
    for seed in range(10):
        everyone = people(16, seed, noise=1.2)
        order = np.random.default_rng(seed).permutation(16)
        names = names_of_tracks(Identifier(gallery(everyone[:8, 0]), LEARNT), everyone[order, 1])
        for person, name in zip(order, names):
            (named if person < 8 else false).append(name == f"p{person}" if person < 8 else name is not None)
    assert np.mean(false) <= 0.02
    assert np.mean(named) > 0.7


@pytest.mark.parametrize("height", [1.0, 3.0])
def test_the_scale_of_an_embedder_does_not_matter(height: float) -> None:
    """Strangers at cosine .5 and .9 instead of 0: a fixed threshold of .25 names nobody, or everybody."""
    everyone = people(12, 3)
    squeezed = in_a_cone(everyone, height)
    plain = names_of_boxes(Identifier(gallery(everyone[:6, 0]), LEARNT, memory=False), everyone[:, 1])
    cone = names_of_boxes(Identifier(gallery(squeezed[:6, 0]), LEARNT, memory=False), squeezed[:, 1])
    assert cone == plain
    assert sum(name is not None for names in plain[:6] for name in names) > 30
    fixed = GalleryConfig(gallery_match_threshold=0.25, gallery_margin=0.0)
    named = [
        sum(
            name is not None
            for names in names_of_boxes(Identifier(known, fixed, memory=False), queries)
            for name in names
        )
        for known, queries in (
            (gallery(everyone[:6, 0]), everyone[:6, 1]),
            (gallery(in_a_cone(everyone, 3.0)[:6, 0]), in_a_cone(everyone, 3.0)[6:, 1]),
        )
    ]
    assert named[0] < 10
    assert named[1] > 10


def test_the_videos_strangers_replace_the_gallerys() -> None:
    """Another camera, to which all are less similar: the threshold moves away from them, and more are named."""
    everyone = people(24, 5)
    identifier = Identifier(gallery(everyone[:6, 0]), LEARNT, memory=False)
    before = identifier.limits.match
    names_of_boxes(identifier, everyone[6:, 1])
    assert identifier.limits.match > before + 0.05
    assert identifier.threshold_notices() == [
        f"gallery threshold: {identifier.limits.match:.2f}, auto: 1 % false names expected, from 6 identities and "
        "144 boxes"
    ]


def test_one_identity_learns_from_frames_with_several_tracks_alone() -> None:
    everyone = people(10, 7)
    alone = Identifier(gallery(everyone[:1, 0]), LEARNT)
    names_of_tracks(alone, everyone[:, 1], together=1)
    assert "not learnt" in alone.threshold_notices()[0]
    assert alone.limits.match <= 0.25
    beside = Identifier(gallery(everyone[:1, 0]), LEARNT)
    names = names_of_tracks(beside, np.roll(everyone[:, 1], 5, axis=0), together=5)
    assert beside.threshold_notices()[0].endswith("from 1 identity and 10 tracks")
    assert [index for index, name in enumerate(names) if name] == [5]


def test_one_identity_of_an_embedder_in_a_cone_starts_from_how_near_its_own_images_are() -> None:
    squeezed = in_a_cone(people(2, 7), 3.0)
    identifier = Identifier(gallery(squeezed[:1, 0]), LEARNT)
    assert identifier.limits.match == pytest.approx(gallery_strangers(identifier.known).own)
    assert identifier.limits.match < 0.1
    assert set(names_of_tracks(identifier, squeezed[1:, 1])) == {None}


def test_an_embedder_that_separates_nothing_names_nobody() -> None:
    rng = np.random.default_rng(0)
    for images in (np.tile(unit(np.ones(8)), (6, 2, 4, 1)), unit(rng.normal(size=(6, 2, 4, 400)))):
        names = names_of_boxes(Identifier(gallery(images[:3, 0]), LEARNT, memory=False), images[:, 1])
        assert [name for own in names for name in own if name is not None] == []


def test_a_video_of_one_known_person_alone_does_not_make_a_stranger_of_it() -> None:
    everyone = people(6, 11)
    queries = everyone[:1, 1].repeat(40, axis=0)
    names = names_of_boxes(Identifier(gallery(everyone[:, 0]), LEARNT, memory=False), queries)
    assert np.mean([name == "p0" for name in names[-1]]) > 0.7


def test_a_number_is_not_touched_by_what_is_seen() -> None:
    everyone = people(8, 2)
    identifier = Identifier(gallery(everyone[:4, 0]), GalleryConfig(gallery_match_threshold=0.3))
    before = identifier.limits
    names_of_tracks(identifier, everyone[:, 1])
    assert identifier.limits == before
    assert (before.match, before.caution, before.keep, before.margin) == (0.3, 0.05, 0.05, 0.02)
    assert identifier.threshold_notices() == []
    assert identifier.learnt_threshold is None
