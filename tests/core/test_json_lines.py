"""A journal keeps whole lines, whatever a killed run left behind them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mot_dinov3.core.errors import OutputLostError
from mot_dinov3.core.json_text import JsonLines, whole_lines


def rest(journal: JsonLines) -> list[dict[str, object]]:
    return list(iter(journal.read, None))


def written(path: Path, *values: dict[str, object]) -> Path:
    journal = JsonLines(path)
    for value in values:
        journal.append(value)
    journal.close()
    return path


def test_lines_come_back_and_new_ones_follow(tmp_path: Path) -> None:
    path = written(tmp_path / "j", {"a": 1}, {"b": [2.5]})
    journal = JsonLines(path, resume=True)
    assert rest(journal) == [{"a": 1}, {"b": [2.5]}]
    journal.append({"c": 3})
    journal.close()
    assert path.read_text() == '{"a": 1}\n{"b": [2.5]}\n{"c": 3}\n'


@pytest.mark.parametrize("broken", ['{"b": ', '{"b": 2}', "[1]\n", "\n", '{"b"\n{"c": 3}\n'])
def test_a_broken_line_and_all_after_it_are_cut_off(tmp_path: Path, broken: str) -> None:
    path = written(tmp_path / "j", {"a": 1})
    path.write_text(path.read_text() + broken)
    assert [value for _, value in whole_lines(path)] == [{"a": 1}]
    journal = JsonLines(path, resume=True)
    assert rest(journal) == [{"a": 1}]
    journal.append({"d": 4})
    journal.close()
    assert [text for text, _ in whole_lines(path)] == ['{"a": 1}', '{"d": 4}']


def test_a_new_journal_replaces_an_old_one_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = written(tmp_path / "j", {"a": 1})
    path.chmod(0o644)
    assert rest(JsonLines(path)) == []
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_last_line_is_known_without_reading_all(tmp_path: Path) -> None:
    path = written(tmp_path / "j", {"a": 1}, {"stopped": 7})
    journal = JsonLines(path, resume=True)
    assert journal.last() == {"stopped": 7}
    assert journal.read() == {"a": 1}
    assert JsonLines(tmp_path / "new").last() == {}


def test_what_cannot_be_written_names_the_output(tmp_path: Path) -> None:
    with pytest.raises(OutputLostError, match=r"tracks\.json"):
        JsonLines(tmp_path / "gone" / "j", output=tmp_path / "tracks.json")


def test_a_removed_journal_is_gone(tmp_path: Path) -> None:
    journal = JsonLines(tmp_path / "j")
    assert not journal.closed
    journal.remove()
    assert journal.closed
    assert list(tmp_path.iterdir()) == []
