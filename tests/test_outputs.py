"""Files appear whole or not at all."""

import errno
import os

import pytest

from mot_dinov3.errors import OutputError, OutputLostError
from mot_dinov3.outputs import check_output, replacing, writing


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


@pytest.mark.parametrize(("code", "remedy"), [(errno.ENOSPC, "disk space"), (errno.ENOENT, "folder")])
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
