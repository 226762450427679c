"""Conversion with a real network of a few weights."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("openvino", reason="the extra 'fast' is not installed")

from mot_dinov3.models.conversion import (
    CheckResult,
    ConversionSpec,
    Converted,
    cache_key,
    convert_cached,
)
from mot_dinov3.models.conversion_cache import ConversionCache
from mot_dinov3.models.openvino import MIXED, ConversionError, Normalization, OpenVinoNetwork, convert

GOOD = CheckResult(True, "the same")
IMAGES = np.arange(2 * 4 * 6 * 3, dtype=np.uint8).reshape(2, 4, 6, 3)


@functools.cache  # converting is the same each time; what is done with the outcome is tested
def means_per_channel() -> Any:
    import torch

    means = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    return convert(means, Normalization((1.0, 2.0, 3.0), (2.0, 4.0, 5.0)), example=(4, 6), size=None)


class ChannelMeans(ConversionSpec):
    """Means per channel of normalised images."""

    libraries: Sequence[str] = ()

    def __init__(self, weights: Path, check: Callable[[], CheckResult] = lambda: GOOD, **options: Any) -> None:
        self.name = weights.name
        self.files: Sequence[Path] = [weights]
        self.options: Mapping[str, Any] = options
        self.converted = self.checked = 0
        self._check = check

    def convert(self) -> Converted:
        self.converted += 1
        return Converted(means_per_channel().clone(), {"n": 3})

    def check(self, network: OpenVinoNetwork, facts: Mapping[str, Any]) -> CheckResult:
        self.checked += 1
        assert facts == {"n": 3}
        return self._check()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.pt"
    path.write_bytes(b"1")
    return path


@pytest.fixture
def cache(tmp_path: Path) -> ConversionCache:
    return ConversionCache(tmp_path / "networks")


def test_a_network_prepares_its_pixels_itself(weights: Path, cache: ConversionCache) -> None:
    result = convert_cached(ChannelMeans(weights), ["fp32"], cache=cache)
    assert result.network is not None
    assert (result.precision, result.facts, result.notices) == ("fp32", {"n": 3}, ())
    red_green_blue = IMAGES.reshape(2, -1, 3).mean(1)[:, ::-1]
    wanted = (red_green_blue - [1, 2, 3]) / [2, 4, 5]
    np.testing.assert_allclose(result.network.run(IMAGES)[0], wanted, rtol=1e-5)
    np.testing.assert_allclose(result.network.run(IMAGES[:1])[0], wanted[:1], rtol=1e-5)


def test_the_second_time_nothing_is_converted_or_checked(weights: Path, cache: ConversionCache) -> None:
    convert_cached(ChannelMeans(weights), ["fp32"], cache=cache)
    again = ChannelMeans(weights)
    assert convert_cached(again, ["fp32"], cache=cache).network is not None
    assert (again.converted, again.checked) == (0, 0)


def test_other_weights_options_and_situations_are_not_taken_for_the_same(weights: Path, cache: ConversionCache) -> None:
    key = cache_key(ChannelMeans(weights))
    assert cache_key(ChannelMeans(weights, size=3)) != key
    convert_cached(ChannelMeans(weights), ["fp32"], cache=cache)
    elsewhere = ChannelMeans(weights)
    elsewhere.situation = "at night"
    convert_cached(elsewhere, ["fp32"], cache=cache)
    assert (elsewhere.converted, elsewhere.checked) == (0, 1)  # the same network, to be checked anew
    weights.write_bytes(b"2")
    assert cache_key(ChannelMeans(weights)) != key


@pytest.mark.parametrize("damage", [b"", b"<net", b"\x00" * 50])
def test_a_broken_entry_is_rebuilt(weights: Path, cache: ConversionCache, damage: bytes) -> None:
    spec = ChannelMeans(weights)
    convert_cached(spec, ["fp32"], cache=cache)
    (cache.folder / cache_key(spec) / "network.xml").write_bytes(damage)
    assert convert_cached(spec, ["fp32"], cache=cache).network is not None
    assert spec.converted == 2


def test_a_broken_compiled_network_is_compiled_again(weights: Path, cache: ConversionCache) -> None:
    spec = ChannelMeans(weights)
    convert_cached(spec, ["fp32"], cache=cache)
    compiled = list((cache.folder / cache_key(spec) / "compiled").iterdir())
    assert compiled
    for file in compiled:
        file.chmod(0o600)
        file.write_bytes(b"broken" * 9)
    again = convert_cached(spec, ["fp32"], cache=cache)
    assert again.network is not None
    assert again.network.run(IMAGES)[0].shape == (2, 3)
    assert spec.converted == 1


def test_what_fails_its_check_is_not_used_and_that_is_said_once(weights: Path, cache: ConversionCache) -> None:
    checks = iter([CheckResult(False, "0.5 is too little"), GOOD])
    spec = ChannelMeans(weights, lambda: next(checks))
    said = ("'weights.pt' is not run in OpenVINO's bf16: 0.5 is too little",)
    for notices in (said, ()):  # the second time the outcome comes from the cache
        result = convert_cached(spec, ["bf16", "fp32"], cache=cache)
        assert result.network is not None
        assert result.precision == "fp32"
        assert result.notices == notices
    assert spec.checked == 2


def test_where_all_precisions_fail_there_is_no_network(weights: Path, cache: ConversionCache) -> None:
    result = convert_cached(ChannelMeans(weights, lambda: CheckResult(False, "wrong")), ["fp32"], cache=cache)
    assert result.network is None
    assert result.notices[-1] == "'weights.pt' runs in torch instead of OpenVINO"


NOTHING = CheckResult(False, "nothing was there", needed=20)


def checked(weights: Path, *outcomes: CheckResult) -> ChannelMeans:
    """A network of a source that can be read twice, whose checks have these outcomes."""
    remaining = iter(outcomes)
    spec = ChannelMeans(weights, lambda: next(remaining))
    spec.sees_same_images = False
    return spec


def test_a_check_that_saw_nothing_takes_the_safest_precision_and_is_repeated(
    weights: Path, cache: ConversionCache
) -> None:
    said = "'weights.pt' runs in OpenVINO's fp32, not compared with the original: nothing was there"
    for _ in range(2):
        spec = checked(weights, NOTHING)
        result = convert_cached(spec, ["bf16", "fp32"], cache=cache)
        assert (result.precision, result.notices, spec.checked) == ("fp32", (said,), 1)
    later = convert_cached(checked(weights, GOOD), ["bf16", "fp32"], cache=cache)
    assert (later.precision, later.notices) == ("bf16", ())
    assert convert_cached(checked(weights), ["bf16", "fp32"], cache=cache).precision == "bf16"  # from now on known


def test_a_check_that_always_has_the_same_images_is_not_repeated(weights: Path, cache: ConversionCache) -> None:
    spec = ChannelMeans(weights, lambda: NOTHING)
    for _ in range(2):
        assert convert_cached(spec, ["fp32"], cache=cache).network is not None
    assert spec.checked == 1


def test_small_checks_on_different_images_add_up(weights: Path, cache: ConversionCache) -> None:
    few = [CheckResult(True, f"{name}: good", count=8, needed=20) for name in "aabc"]  # the second sees the first's
    for start, outcome in enumerate(few):
        spec = checked(weights, outcome)
        assert convert_cached(spec, ["bf16"], cache=cache).precision == "bf16"
        assert spec.checked == 1, start
    assert convert_cached(checked(weights), ["bf16"], cache=cache).precision == "bf16"  # 24 of the 20 needed


def test_a_small_check_that_fails_settles_nothing(weights: Path, cache: ConversionCache) -> None:
    few = CheckResult(False, "1 of 2", count=2, needed=20)
    assert convert_cached(checked(weights, few, GOOD), ["bf16", "fp32"], cache=cache).precision == "fp32"
    assert convert_cached(checked(weights, GOOD), ["bf16", "fp32"], cache=cache).precision == "bf16"


def test_what_failed_before_is_not_taken_for_safe(weights: Path, cache: ConversionCache) -> None:
    bad = CheckResult(False, "wrong")
    assert convert_cached(checked(weights, bad, bad), ["bf16", "fp32"], cache=cache).network is None
    assert convert_cached(checked(weights), ["bf16", "fp32"], cache=cache).network is None


def test_a_precision_requested_by_name_is_obeyed(weights: Path, cache: ConversionCache) -> None:
    for spec in (checked(weights, CheckResult(False, "0.5 is too little")), checked(weights)):
        result = convert_cached(spec, ["bf16"], obeyed=True, cache=cache)
        assert result.precision == "bf16"
        assert result.notices == ("'weights.pt' runs in OpenVINO's bf16 as requested: 0.5 is too little",)


def test_without_a_cut_there_is_no_mixed_precision(weights: Path, cache: ConversionCache) -> None:
    spec = checked(weights, CheckResult(False, "wrong"), GOOD)
    assert convert_cached(spec, ["bf16", MIXED, "fp32"], cache=cache).precision == "fp32"


def test_what_cannot_be_converted_says_why(weights: Path, cache: ConversionCache) -> None:
    class Strange(ChannelMeans):
        def convert(self) -> Converted:
            raise ConversionError("its head is strange")

    result = convert_cached(Strange(weights), ["fp32"], cache=cache)
    assert result.network is None
    assert result.notices == ("'weights.pt' runs in torch instead of OpenVINO: its head is strange",)


def test_a_folder_that_cannot_be_written_is_one_notice(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    spec = ChannelMeans(weights)
    result = convert_cached(spec, ["fp32"], cache=ConversionCache(tmp_path / "file" / "networks"))
    assert result.network is not None
    assert result.network.run(IMAGES)[0].shape == (2, 3)
    assert len(result.notices) == 1
    assert "cannot be cached" in result.notices[0]


def test_a_full_disk_is_one_notice(weights: Path, cache: ConversionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    from mot_dinov3.models import openvino

    def full(*_: object, **__: object) -> None:
        raise RuntimeError("Can't open bin file: No space left on device\nat somewhere")

    monkeypatch.setattr(openvino.openvino_module(), "save_model", full)
    result = convert_cached(ChannelMeans(weights), ["fp32"], cache=cache)
    assert result.network is not None
    assert len(result.notices) == 1
    assert "No space left" in result.notices[0]
    assert list(cache.folder.iterdir()) == []
