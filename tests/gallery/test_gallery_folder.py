"""Identity folders: what is taken, what is left out, what is refused, what is remembered."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from gallery_fakes import ColourEmbedder, write_picture

from mot_dinov3.core.errors import InputError, ModelError
from mot_dinov3.gallery.folder import GREY, check_identity, load_gallery, read_on_grey

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


def save(path: Path, pixels: np.ndarray) -> None:
    import PIL.Image

    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(path, "JPEG" if path.suffix == ".jfif" else None)


@pytest.mark.parametrize("suffix", [".gif", ".avif", ".jfif", ".GIF", ".webp"])
def test_images_of_other_kinds_and_in_sub_folders_are_embedded(root: Path, suffix: str) -> None:
    import PIL.features

    if suffix == ".avif" and not PIL.features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    save(root / "bob" / "2024" / "may" / f"b{suffix}", np.full((40, 20, 3), (0, 0, 200), np.uint8))
    known = load_gallery(root, ColourEmbedder())
    assert known.owner.tolist() == [0, 0, 0, 1, 1]
    assert known.embedding[4, 0] > 0.9  # blue, in OpenCV's order
    assert known.notices == ()


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_what_is_transparent_becomes_neutral_grey(tmp_path: Path, suffix: str) -> None:
    pixels = np.zeros((40, 20, 4), np.uint8)  # transparent black around an opaque red half
    pixels[:20] = (200, 0, 0, 255)
    save(tmp_path / f"a{suffix}", pixels)
    image = read_on_grey(tmp_path / f"a{suffix}")
    assert image.dtype == np.uint8
    np.testing.assert_allclose(image[2, 2], (0, 0, 200), atol=8)
    assert image[-1, -1].tolist() == [GREY] * 3


def test_files_that_are_not_used_are_counted_with_their_reason(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mot_dinov3.gallery.folder.reads_heif", lambda: False)
    for name in (
        "anna/IMG_1.HEIC",
        "anna/IMG_2.heic",
        "bob/notes.txt",
        "bob/.hidden.txt",
        "bob/Thumbs.db",
        "cover.jpg",
    ):
        (root / name).write_bytes(b"x")
    (notice,) = load_gallery(root, ColourEmbedder()).notices
    assert "2 .heic (to read it: pip install pi-heif; or convert it to JPEG)" in notice
    assert "1 .txt (no image)" in notice
    assert "1 outside of an identity's folder" in notice


def test_images_of_phones_are_read_where_a_package_for_them_is_installed(root: Path) -> None:
    heif = pytest.importorskip("pillow_heif", reason="pi-heif reads HEIC, but only pillow-heif writes it for this test")
    import PIL.Image

    heif.register_heif_opener()
    PIL.Image.new("RGB", (20, 40), (250, 0, 0)).save(root / "anna" / "IMG_1.HEIC")
    known = load_gallery(root, ColourEmbedder())
    assert known.owner.tolist() == [0, 0, 0, 0, 1]
    assert known.embedding[0, 2] > 0.95
    assert known.notices == ()


def test_a_person_in_two_folders_is_named(root: Path) -> None:
    shutil.copytree(root / "anna", root / "anna2")
    (notice,) = load_gallery(root, ColourEmbedder()).notices
    assert "'anna' and 'anna2' look like the same person (distance 0.000)" in notice
    assert "into one folder" in notice


def turned(degrees: float, aside: float = 0.0) -> tuple[int, ...]:
    """Return the colour (BGR) that is turned from red towards green by `degrees`, and `aside` of it towards blue."""
    along, off = np.radians(degrees), np.radians(aside)
    rgb = np.cos(off) * np.cos(along), np.cos(off) * np.sin(along), np.sin(off)
    return tuple(round(255 * float(value)) for value in reversed(rgb))


@pytest.mark.parametrize(
    ("aside", "other", "is_told"),
    [(12.5, (70, 0), True), (12.5, None, False), (12.5, (0, 25), False), (25.0, (70, 0), False)],
    ids=["near, the third far", "two alone", "a third one as near", "far"],
)
def test_other_images_of_a_person_in_two_folders_are_noticed(
    tmp_path: Path, aside: float, other: tuple[float, float] | None, is_told: bool
) -> None:
    starts = {"anna": (0.0, 0.0), "anna2": (0.0, aside), **({} if other is None else {"third": other})}
    for name, (start, off) in starts.items():
        for number in range(4):
            step = 12 if start == 0 else 5
            write_picture(tmp_path / name / f"{number}.png", turned(start + step * number, off))
    notices = load_gallery(tmp_path, ColourEmbedder()).notices
    assert ["'anna' and 'anna2' look like the same person" in notice for notice in notices] == [True] * is_told


def test_very_unequal_numbers_of_images_are_told(root: Path) -> None:
    for number in range(3, 8):
        write_picture(root / "anna" / f"anna_{number:05d}.png", RED)
    (notice,) = load_gallery(root, ColourEmbedder()).notices
    assert "'anna' has 8 images, 'bob' 1" in notice


class Failing(ColourEmbedder):
    """Gives no embedding for a blue image, or a row too few."""

    def __init__(self, *, short: bool = False) -> None:
        super().__init__()
        self.short = short

    def embed_images(self, pictures):
        rows = super().embed_images(pictures)
        rows[rows[:, 0] > 0.9] = np.nan
        return rows[:-1] if self.short else rows


def test_an_image_without_an_embedding_is_named_and_a_missing_row_is_an_error(root: Path) -> None:
    known = load_gallery(root, Failing())
    assert known.names == ("anna",)
    assert any("1 images skipped: bob/bob_00000.jpg (no embedding)" in notice for notice in known.notices)
    with pytest.raises(ModelError, match="crops; expected shape"):
        load_gallery(root, Failing(short=True), cache=False)
