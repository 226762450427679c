"""The setting for a sequence is chosen without looking at it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


@pytest.fixture(scope="module")
def heldout(repo: Path) -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(repo / "benchmarks"))
        yield importlib.import_module("heldout")


def test_a_setting_that_wins_on_one_sequence_is_not_chosen_for_it(heldout: ModuleType):
    members = np.array([0, 0, 1, 1])
    hota = np.array([[50.0, 50, 50, 50], [90, 45, 45, 45]])  # setting 1 is far better on sequence 0 alone
    table = np.stack([hota, hota], axis=2)
    assert heldout.picks(members, table) == [0, 1, 1, 1]


def test_groups_weigh_the_same_however_many_sequences_they_have(heldout: ModuleType):
    members = np.array([0, 0, 0, 0, 1, 1])
    hota = np.array([[51.0, 51, 51, 51, 50, 50], [50, 50, 50, 50, 53, 53]])
    assert heldout.picks(members, np.stack([hota, hota], axis=2)) == [1, 1, 1, 1, 1, 1]


def test_neighbours_differ_from_the_defaults_in_one_number(heldout: ModuleType):
    settings = dict(heldout.neighbours())
    defaults = vars(settings.pop(heldout.DEFAULTS))
    assert len(settings) > 20
    for name, config in settings.items():
        changed = {field: value for field, value in vars(config).items() if value != defaults[field]}
        assert list(changed) == [name.split()[0]]
