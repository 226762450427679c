from __future__ import annotations

from pathlib import Path

import pytest

from mot_dinov3.core.errors import FormatError
from mot_dinov3.formats.class_names import labels_of, names_of, number_labels, read_class_names


@pytest.mark.parametrize(
    ("name", "text", "names"),
    [
        ("a.txt", "person\n\nfire truck \n", {0: "person", 2: "fire truck"}),
        ("a.names", "\ufeffperson\n", {0: "person"}),
        ("data.yaml", "nc: 2\nnames: [person, car]\n", {0: "person", 1: "car"}),
        ("data.yml", "names:\n  0: person\n  7: 8\n", {0: "person", 7: "8"}),
    ],
)
def test_names_are_a_list_or_yaml(tmp_path: Path, name: str, text: str, names: dict[int, str]) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert read_class_names(path) == names


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "  \n\n", "names no class"),
        ("a.txt", "car\ncar\n", "has the class 'car' 2 times"),
        ("a.yaml", "names: 3", "names must be a list or a mapping, not a number"),
        ("a.yaml", "names: {x: car}", "names has 'x': 'car'"),
        ("a.yaml", "names: [[a]]", "names has 0"),
        ("a.yaml", "- a", "contains no YAML mapping"),
        ("a.yaml", "names: [a\nb: ", "is not valid YAML: line 2"),
        ("a.yaml", "names: !!python/object/apply:os.system [ls]", "is not valid YAML"),
        pytest.param("a.yaml", "[" * 1500, "YAML", marks=pytest.mark.slow, id="nesting"),
    ],
)
def test_a_broken_list_is_one_clear_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(FormatError, match=f"'{path}'") as caught:
        read_class_names(path)
    assert message in caught.value.message


def test_numbers_are_the_users_then_the_files_then_the_lowest_free() -> None:
    assert number_labels({"b": None, "a": 0, "c": None, "none": -1}, {}) == {"b": 1, "a": 0, "c": 2, "none": -1}
    assert number_labels({"b": 5}, {0: "a", 3: "b"}) == {"b": 3}
    assert names_of({"b": 1, "none": -1, "7": 7}) == {1: "b"}


def test_every_class_gets_a_label_of_its_own() -> None:
    assert labels_of({-1, 1, 2, 3}, {1: " fire\ttruck", 2: "car", 5: "car"}) == {
        -1: "object",
        1: "fire truck",
        2: "car (2)",
        3: "3",
        5: "car (5)",
    }
