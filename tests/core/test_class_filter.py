"""Classes by id and by name, and what is refused as either."""

from __future__ import annotations

import pytest

from mot_dinov3.core.class_filter import parse_classes
from mot_dinov3.core.errors import ConfigError

NAMES = {0: "person", 2: "car"}


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [("", None), (" ", None), ("2", (2,)), ("Car, 0,", (0, 2)), ("person,0", (0,))],
)
def test_ids_and_names_are_sorted_and_unique(wanted: str, ids: tuple[int, ...] | None) -> None:
    assert parse_classes(wanted, NAMES) == ids


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (",", "classes ',' names no class"),
        (" , ,", "names no class"),
        ("1", "unknown class '1'"),
        ("0,cra", "unknown class 'cra'; did you mean 'car'"),
    ],
)
def test_what_names_no_known_class_is_refused(wanted: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_classes(wanted, NAMES)


def test_without_names_any_id_is_accepted() -> None:
    assert parse_classes("7,3", {}) == (3, 7)
