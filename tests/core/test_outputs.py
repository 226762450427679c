"""Files appear whole or not at all."""

import errno
import os
import stat

import pytest

from mot_dinov3.core.errors import OutputError, OutputLostError
from mot_dinov3.core.files import (
    check_extension,
    check_output,
    check_output_folder,
    journal_path,
    output_file,
    part_path,
    private,
    replacing,
    replacing_folder,
    writing,
)


def test_a_file_appears_only_when_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("earlier")
    with replacing(path) as part:
        part.write_text("later")
        assert path.read_text() == "earlier"
    assert path.read_text() == "later"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_failed_write_leaves_the_earlier_file_and_no_rubbish(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("earlier")
    with pytest.raises(ValueError, match="broken"), replacing(path) as part:
        part.write_text("half")
        raise ValueError("broken")
    assert path.read_text() == "earlier"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    ("code", "remedy"), [(errno.ENOSPC, "disk space"), (errno.ENOENT, "folder"), (errno.EPIPE, "reads the pipe")]
)
def test_a_lost_output_is_named_with_a_remedy(tmp_path, code, remedy):
    with pytest.raises(OutputLostError, match=r"x\.mp4") as caught, writing(tmp_path / "x.mp4"):
        raise OSError(code, os.strerror(code))
    assert remedy in caught.value.remedy
    assert caught.value.exit_code == 3


def test_output_equal_to_source_is_refused_however_it_is_spelled(tmp_path):
    video = tmp_path / "in.mp4"
    video.write_bytes(b"x")
    link = tmp_path / "link.mp4"
    link.symlink_to(video)
    for output in (video, link, tmp_path / "." / "in.mp4"):
        with pytest.raises(OutputError, match="source"):
            check_output(output, source=str(video))


def test_a_folder_is_no_output(tmp_path):
    with pytest.raises(OutputError, match="folder"):
        check_output(tmp_path)


def test_missing_folders_are_made(tmp_path):
    check_output(tmp_path / "new" / "deep" / "x.mp4", source="rtsp://camera/1")
    assert (tmp_path / "new" / "deep").is_dir()


def test_a_file_in_the_folders_place_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        check_output(tmp_path / "file" / "x.mp4")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_private_until_it_is_whole_and_then_like_any_other(tmp_path):
    (tmp_path / "plain").touch()
    with replacing(tmp_path / "a.txt") as part:
        assert mode(part) == 0o600
        part.write_text("secret so far")
        assert mode(part) == 0o600
    assert mode(tmp_path / "a.txt") == mode(tmp_path / "plain")


def test_a_file_keeps_the_rights_of_the_one_it_replaces(tmp_path):
    path = tmp_path / "a.txt"
    path.touch(mode=0o640)
    path.chmod(0o640)
    with replacing(path) as part:
        part.write_text("x")
    assert mode(path) == 0o640


def test_a_link_in_a_temporary_name_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    path = tmp_path / "a.txt"
    part_path(path).symlink_to(victim)
    with replacing(path) as part:
        part.write_text("x")
    assert victim.read_text() == "untouched"
    assert not path.is_symlink()
    part_path(path).symlink_to(tmp_path / "nowhere")
    private(part_path(path)).write_text("y")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", [lambda p: p, part_path, journal_path])
def test_a_link_that_leads_out_is_refused(tmp_path, name):
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "a.json"
    name(path).symlink_to(tmp_path / "outside")
    with pytest.raises(OutputError, match="leads out of its folder") as caught:
        check_output(path)
    assert caught.value.exit_code == 2
    name(path).unlink()
    name(path).symlink_to("neighbour")
    check_output(path)


def test_a_name_from_elsewhere_stays_in_its_folder(tmp_path):
    root = tmp_path / "out"
    root.mkdir()
    check_output(root / "run" / "a.json", within=root)
    (tmp_path / "elsewhere").mkdir()
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    for path in (root / "linked" / "a.json", root / ".." / "a.json"):
        with pytest.raises(OutputError, match="would be outside the folder"):
            check_output(path, within=root)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_folder_appears_only_when_whole(tmp_path):
    path = tmp_path / "out"
    for text in ("earlier", "later"):
        with replacing_folder(path) as part:
            (part / "a.txt").write_text(text)
            assert path.exists() == (text == "later")
        assert (path / "a.txt").read_text() == text
    with pytest.raises(ValueError, match="broken"), replacing_folder(path) as part:
        (part / "a.txt").write_text("half")
        raise ValueError("broken")
    assert (path / "a.txt").read_text() == "later"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert stat.S_IMODE(path.stat().st_mode) & 0o700 == 0o700


def test_a_folder_with_anything_else_in_it_is_not_replaced(tmp_path):
    path = tmp_path / "new" / "out"
    check_output_folder(path, holds=lambda inner: False)
    path.mkdir()
    (path / "a.txt").touch()
    check_output_folder(path, holds=lambda inner: inner.name == "a.txt")
    (path / "holiday.jpg").touch()
    with pytest.raises(OutputError, match=r"contains other files, such as .*holiday\.jpg"):
        check_output_folder(path, holds=lambda inner: inner.name == "a.txt")
    for place in (path / "a.txt", tmp_path / "link"):
        if not place.exists():
            place.symlink_to(path)
        with pytest.raises(OutputError, match="is not a folder"):
            check_output_folder(place, holds=lambda inner: True)


@pytest.mark.parametrize("name", ["x" * 300 + ".txt", "y" * 250, "é" * 125, "z" * 300 + "/a.txt"])
def test_a_name_that_is_too_long_is_refused_in_one_line(tmp_path, name):
    with pytest.raises(OutputError, match=r"bytes, more than the \d+ that are possible here") as caught:
        check_output(tmp_path / "new" / name)
    assert len(caught.value.message) < 200
    assert list(tmp_path.iterdir()) == []


def test_the_longest_name_that_is_accepted_has_room_for_all_temporary_ones(tmp_path):
    longest = os.pathconf(tmp_path, "PC_NAME_MAX") - 13
    path = tmp_path / ("x" * (longest - 4) + ".mp4")
    check_output(path)
    more = [f"{path.stem}.part.earlier.mp4", f"{path.name}.part.record"]
    for name in (part_path(path).name, journal_path(path).name, *more):
        (tmp_path / name).touch()
    with pytest.raises(OutputError):
        check_output(tmp_path / ("x" * (longest - 3) + ".mp4"))


@pytest.mark.parametrize(
    "name", ["a.part.txt", "a.part", "a.part.earlier.mp4", "a.json.part.jsonl", "a.mp4.part.record", ".a.mp4.lock"]
)
def test_the_names_of_temporary_files_are_refused(tmp_path, name):
    with pytest.raises(OutputError, match="has the name of a temporary file"):
        check_output(tmp_path / name)
    for fine in ("part.txt", "my.part.2.txt", "apart.txt", "a.parts"):
        check_output(tmp_path / fine)


@pytest.mark.parametrize("name", ["new/", "new//", "a.txt/"])
def test_a_name_that_ends_like_a_folder_is_one(name):
    with pytest.raises(OutputError, match="is a folder"):
        output_file(name)


def test_an_extension_that_says_something_else_is_refused(tmp_path):
    for name in ("a.txt", "a.TXT", "a", "a.result", "a.2026"):
        check_extension(tmp_path / name, "text", (".txt",))
    for name in ("a.mp4", "a.JSON", "a.pdf"):
        with pytest.raises(OutputError, match="text cannot be written as") as caught:
            check_extension(tmp_path / name, "text", (".txt",))
        assert caught.value.remedy == "use the extension .txt"


def test_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert output_file("~/a/b.txt") == tmp_path / "a" / "b.txt"
    assert output_file("~backup.txt").name == "~backup.txt"
