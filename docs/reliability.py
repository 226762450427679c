"""Run the reliability tests and write their results to ``docs/reliability.md``.

::

    python docs/reliability.py                  # all of them, about ten minutes
    python docs/reliability.py -k resume        # pytest's own options; rows of other tests stay as they are

Each test records its requirement and its result with the fixture ``reliability``. If a test fails, the table is not
changed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).resolve().parent
PAGE = DOCS / "reliability.md"
BEGIN, END = "<!-- table: written by docs/reliability.py -->", "<!-- end of table -->"
Row = tuple[str, str, str]  # requirement, test, result


def measured(options: list[str]) -> list[Row]:
    """Run the tests and return the rows they noted."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "rows.tsv"
        command = [sys.executable, "-m", "pytest", "tests/reliability", *options]
        done = subprocess.run(command, cwd=DOCS.parent, env={**os.environ, "MOT_RELIABILITY_TABLE": str(table)})
        if done.returncode:
            sys.exit(f"the tests ended with code {done.returncode}: {PAGE.name} stays as it is")
        lines = table.read_text(encoding="utf-8").splitlines() if table.exists() else []
    return [(requirement, test, result) for requirement, test, result in (line.split("\t") for line in lines)]


def parsed(table: str) -> list[Row]:
    """Return the rows of a Markdown table."""
    rows = [[cell.strip() for cell in line.strip().strip("|").split(" | ")] for line in table.splitlines()]
    return [(row[0], row[1].strip("`"), row[2]) for row in rows if len(row) == 3 and row[1].startswith("`")]


def rendered(rows: list[Row]) -> str:
    """Return the rows as a Markdown table, by test."""
    lines = ["| requirement | test, in tests/reliability | result |", "| --- | --- | --- |"]
    lines += [f"| {requirement} | `{test}` | {result.replace('|', '/')} |" for requirement, test, result in rows]
    return "\n".join(lines)


def merged(old: list[Row], new: list[Row], *, all_run: bool) -> list[Row]:
    """Return the new rows, and where only some tests were run the old ones of the others, by test."""
    run = {test for _, test, _ in new}
    kept = [] if all_run else [row for row in old if row[1] not in run]
    return sorted([*kept, *new], key=lambda row: row[1])


def main(options: list[str]) -> None:
    """Bring the page up to date."""
    new = measured(options)
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    table, _, tail = rest.partition(END)
    rows = merged(parsed(table), new, all_run=not options)
    PAGE.write_text(f"{head}{BEGIN}\n{rendered(rows)}\n{END}{tail}", encoding="utf-8")
    print(f"{PAGE.name}: {len(new)} of {len(rows)} rows are new")


if __name__ == "__main__":
    main(sys.argv[1:])
