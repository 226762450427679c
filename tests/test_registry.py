"""Names are looked up, never guessed."""

import collections

import pytest

from mot_dinov3.errors import UnknownNameError, UsageError
from mot_dinov3.registry import check_name, resolve

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
