"""Settings of keypoint tracking on the page: generated from the options of `keypoints`, and messages in their terms."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mot_dinov3.apps.studio.session import Studio
from mot_dinov3.core.errors import MotError
from mot_dinov3.core.option_values import typed_values
from mot_dinov3.core.options import Option, OptionSpec, assemble, options_of
from mot_dinov3.keypoints.job.config import KeypointsOptions

CHOSEN_ELSEWHERE = ("source", "result_folder", "backend", "model", "weights")  # by controls of their own
SET_AT_START = ("trust_weights",)  # a page must not decide that code in a file may run
RANGE = ("start_frame", "end_frame", "step")
MASKS = "masks"
_ACRONYMS = {"csv": "CSV", "dlc": "DLC", "h5": "HDF5", "sleap": "SLEAP", "nc": "netCDF", "px": "(px)"}
_KINDS = {bool: "flag", int: "whole", float: "number", str: "text"}


def label_of(key: str) -> str:
    """Return the name that an option has on the page: ``Motion search gain``."""
    words = [_ACRONYMS.get(word, word) for word in key.split("_")]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])


_TYPES = {"int": "whole number", "float": "number", "str": "text", "bool": "switch, on or off"}
_LABELS = {known.key: label_of(known.key) for known in options_of(KeypointsOptions)}
_KEYS = "|".join(sorted(_LABELS, key=len, reverse=True))
_LONG_KEYS = "|".join(sorted(filter(lambda key: "_" in key, _LABELS), key=len, reverse=True))
_SPELLINGS = re.compile(
    rf"--(?P<flag>{_KEYS.replace('_', '-')})(?![\w-])"
    rf"|'(?P<quoted>{_KEYS})'(?= must be\b)"
    rf"|(?<![\w/.'])(?P<plain>{_KEYS})(?= must be\b)"
    rf"|(?<![\w/.'])(?P<key>{_LONG_KEYS})(?![\w/.'])"
)


def in_page_terms(text: str) -> str:
    """Return a message or a help text with the names that its options have on the page."""

    def named(match: re.Match[str]) -> str:
        key = next(filter(None, match.groups())).replace("-", "_")
        return f"“{_LABELS[key]}”"

    for kind, words in _TYPES.items():
        text = text.replace(f"must be a {kind},", f"must be a {words},")
    return _SPELLINGS.sub(named, text)


@contextlib.contextmanager
def page_terms() -> Iterator[None]:
    """Raise the errors of its block in the page's terms."""
    try:
        yield
    except MotError as error:
        error.message, error.remedy = in_page_terms(error.message), in_page_terms(error.remedy)
        raise


def settings(studio: Studio) -> list[dict[str, Any]]:
    """Return what the page shows of every option, in order: name, meaning, kind of value, default and range."""
    hidden = (*CHOSEN_ELSEWHERE, *SET_AT_START)
    device = studio.options.device.device
    return [
        _setting(known, device if known.key == "device" else known.default)
        for known in options_of(KeypointsOptions)
        if known.key not in hidden
    ]


def _setting(known: Option, default: Any) -> dict[str, Any]:
    spec = known.spec
    limits = spec.range
    return {
        "key": known.key,
        "label": _LABELS[known.key],
        "help": in_page_terms(spec.help),
        "kind": _KINDS[known.type],
        "default": default,
        "choices": list(spec.choices or ()),
        "low": None if limits is None else limits.low,
        "high": None if limits is None else limits.high,
        "range": "" if limits is None else str(limits),
        "group": _group(known, spec),
    }


def _group(known: Option, spec: OptionSpec) -> str:
    if known.key in RANGE:
        return "range"
    if known.key == MASKS:
        return "masks"
    return "outputs" if spec.writes else "tracking"


def keypoint_options(studio: Studio, given: Mapping[str, Any], fixed: Mapping[str, Any]) -> KeypointsOptions:
    """Return the options of a run.

    Args:
        studio: Its device and trust are those of the run.
        given: What the page sends: option → value, of those that `settings` lists.
        fixed: What other controls chose.

    Raises:
        UsageError: An unknown option, or values that are refused; all of them are named.
        OutsideRootsError: The video to write lies outside the roots.
    """
    known = [option for option in options_of(KeypointsOptions) if option.key not in (*CHOSEN_ELSEWHERE, *SET_AT_START)]
    values = typed_values(given, known)
    device = studio.options.device
    if values.get("output"):
        values["output"] = str(studio.roots.check(values["output"]))
    return assemble(
        KeypointsOptions, {"device": device.device, **values, **fixed, "trust_weights": device.trust_weights}
    )
