"""Identity folders: what is taken, what is left out, what is refused, what is remembered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gallery_fakes import ColourEmbedder, write_picture

from mot_dinov3.core.errors import InputError
from mot_dinov3.gallery.folder import check_identity, load_gallery

RED, BLUE = (0, 0, 250), (250, 0, 0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(3):
        write_picture(tmp_path / "g" / "anna" / f"anna_{number:05d}.png", RED)
    write_picture(tmp_path / "g" / "bob" / "bob_00000.jpg", BLUE)
    return tmp_path / "g"


def test_a_folder_is_an_identity_and_its_pictures_are_embedded_in_one_batch(root: Path) -> None:
    embedder = ColourEmbedder()
    known = load_gallery(root, embedder)
    assert known.names == ("anna", "bob")
    assert sum(embedder.batches) <= 4
    assert len(embedder.batches) == 1
    assert known.owner.tolist() == [0, 0, 0, 1]
    assert known.embedding[0, 2] > 0.9 > known.embedding[3, 2]


def test_what_was_embedded_once_is_remembered_by_content(root: Path) -> None:
    first = load_gallery(root, ColourEmbedder())
    again = ColourEmbedder()
    (root / "anna").rename(root / "anne")  # the content counts, not the name
    write_picture(root / "bob" / "bob_00001_new.png", BLUE)
    known = load_gallery(root, again)
    assert again.batches == [1]
    assert known.names == ("anne", "bob")
    assert np.array_equal(known.embedding[0], first.embedding[0])


def test_another_embedder_does_not_take_these_rows(root: Path) -> None:
    load_gallery(root, ColourEmbedder())
    other = ColourEmbedder()
    other.info = type(other.info)("other")
    load_gallery(root, other)
    assert sum(other.batches) >= 2


def test_a_broken_cache_or_one_that_cannot_be_written_is_no_failure(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_gallery(root, ColourEmbedder())
    store = next(root.glob(".embeddings-*.npz"))
    store.write_bytes(b"PK\x03\x04 not a zip")
    assert load_gallery(root, ColourEmbedder()).names == ("anna", "bob")
    store.unlink()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", refuse)
    known = load_gallery(root, ColourEmbedder())
    assert known.names == ("anna", "bob")
    (notice,) = known.notices
    assert "cannot be cached next to it" in notice
    assert notice.endswith("Permission denied")
    assert not list(root.glob(".embeddings-*"))


def test_unreadable_and_tiny_pictures_are_named_and_left_out(root: Path) -> None:
    (root / "bob" / "broken.png").write_bytes(b"no picture")
    write_picture(root / "bob" / "tiny.png", BLUE, (4, 30))
    write_picture(root / "carl" / "tiny.png", BLUE, (5, 5))
    known = load_gallery(root, ColourEmbedder())
    assert known.names == ("anna", "bob")
    said = " ".join(known.notices)
    assert "3 images skipped" in said
    for name in ("bob/broken.png (unreadable)", "bob/tiny.png (tiny: 30×4)", "carl"):
        assert name in said


def test_an_empty_gallery_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_gallery(tmp_path / "none", ColourEmbedder())
    with pytest.raises(InputError, match="is empty"):
        load_gallery(tmp_path, ColourEmbedder())
    write_picture(tmp_path / "anna" / "a.png", RED, (3, 3))
    with pytest.raises(InputError, match="none of its images"):
        load_gallery(tmp_path, ColourEmbedder())


@pytest.mark.parametrize("name", ["../evil", "a/b", "a\\b", "..", ".", "", " ", "a\nb", "..\\evil"])
def test_names_that_could_lead_out_of_the_gallery_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="cannot be used"):
        check_identity(name)


def test_a_folder_with_such_a_name_is_refused(root: Path) -> None:
    write_picture(root / "..\\evil" / "a.png", RED)
    with pytest.raises(InputError, match="evil"):
        load_gallery(root, ColourEmbedder())
