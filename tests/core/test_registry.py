"""Names are looked up, never guessed."""

import collections
import sys

import pytest

from mot_dinov3.core.errors import UnknownNameError, UsageError
from mot_dinov3.core.registry import check_name, resolve

SHAPES = {"counter": "collections:Counter", "deque": "collections:deque"}


def test_a_listed_name_is_resolved():
    assert resolve("shape", SHAPES, "counter") is collections.Counter


def test_an_unknown_name_lists_the_valid_ones_and_the_closest():
    with pytest.raises(UnknownNameError, match="did you mean 'counter'") as caught:
        resolve("shape", SHAPES, "cuonter")
    assert caught.value.remedy == "valid: counter, deque"
    assert caught.value.exit_code == 2


def test_a_users_own_class_is_loaded_when_named():
    assert resolve("shape", SHAPES, "collections:OrderedDict") is collections.OrderedDict


@pytest.mark.parametrize("reference", ["no_such_module:X", "collections:NoSuch", ":X", "collections:"])
def test_a_reference_that_cannot_be_loaded_says_so(reference):
    with pytest.raises(UsageError, match="cannot be loaded"):
        resolve("shape", SHAPES, reference)


def test_a_name_can_be_checked_without_importing_it():
    check_name("shape", {"broken": "no_such_module:X"}, "broken")
    with pytest.raises(UnknownNameError):
        check_name("shape", SHAPES, "square")


def test_a_class_in_the_working_folder_is_found(tmp_path, monkeypatch):
    (tmp_path / "shapes_of_mine.py").write_text("class Square: pass")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    assert resolve("shape", SHAPES, "shapes_of_mine:Square").__name__ == "Square"


def test_an_entry_point_is_loaded_when_named(tmp_path, monkeypatch):
    info = tmp_path / "shapes-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shapes\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mot_dinov3.shape]\nordered = collections:OrderedDict\ngone = no_such:X\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    check_name("shape", SHAPES, "ordered")
    assert resolve("shape", SHAPES, "ordered") is collections.OrderedDict
    with pytest.raises(UsageError, match="'gone' cannot be loaded"):
        resolve("shape", SHAPES, "gone")
    with pytest.raises(UnknownNameError):
        resolve("animal", SHAPES, "ordered")
