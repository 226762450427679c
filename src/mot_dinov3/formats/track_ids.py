"""Numbers of tracks whose ids in a file may be texts: ``person-3``, a UUID."""

from __future__ import annotations

from collections.abc import Iterable

from mot_dinov3.core.json_text import is_number
from mot_dinov3.formats.rows import MAX_ID, MISSING, whole_number


class TrackIds:
    """Numbers of a file's ids: a whole number stays; texts are numbered after the highest one, as they come.

    So are numbers of more digits than a float holds, such as hashes of 64 bits.

    Args:
        ids: All ids of the file, in its order. None, empty texts and their like stand for no track, as does −1.

    Attributes:
        texts: Text → its number.
    """

    def __init__(self, ids: Iterable[object]) -> None:
        self.texts: dict[str, int] = {}
        highest = 0
        for value in ids:
            try:
                whole = _whole(value)
            except ValueError:  # the reader reports it where it stands
                continue
            if whole is None:
                self.texts.setdefault(str(value), 0)
            else:
                highest = max(highest, whole)
        for place, text in enumerate(self.texts, highest + 1):
            self.texts[text] = place

    def number(self, value: object) -> int:
        """Return the number of an id of the file, −1 for none.

        Raises:
            ValueError: It is neither a whole number from −1 nor a text.
        """
        whole = _whole(value)
        return self.texts[str(value)] if whole is None else whole

    def notices(self, path: object) -> tuple[str, ...]:
        """Return a line for the user where there are texts."""
        if not self.texts:
            return ()
        text, number = next(iter(self.texts.items()))
        which = f"numbered from {number} ({text!r:.60})"
        kind = "texts" if not all(map(str.isdigit, self.texts)) else "very large numbers"
        return (f"'{path}': {len(self.texts)} tracks have {kind} as ids: they are {which}",)


def _whole(value: object) -> int | None:
    """Return a whole number, −1 for no track; None for a text, or a number that is too large to stay one."""
    number: object = -1 if value is None else value
    if isinstance(value, str):
        number = -1 if value.strip().casefold() in MISSING else whole_number(value)
    if number is None or (type(number) is int and number > MAX_ID):
        return None
    whole = int(number) if is_number(number) else -2  # type: ignore[call-overload]
    if whole != number or not -1 <= whole <= MAX_ID:
        raise ValueError(f"track_id must be a whole number from 0 or a text, got {value!r:.40}")
    return whole
