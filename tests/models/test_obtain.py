"""From a recipe to a network that runs, with a real network of a few weights."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("openvino", reason="the extra 'fast' is not installed")

from mot_dinov3.models.conversion import ConversionError, Converted, Verdict, obtain, recipe_key
from mot_dinov3.models.conversion_cache import NetworkStore
from mot_dinov3.models.openvino import Pixels, VinoNetwork, convert

GOOD = Verdict(True, "the same")
PICTURES = np.arange(2 * 4 * 6 * 3, dtype=np.uint8).reshape(2, 4, 6, 3)


@functools.cache  # converting is the same each time; what is done with the outcome is tested
def means_per_channel() -> Any:
    import torch

    means = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    return convert(means, Pixels((1.0, 2.0, 3.0), (2.0, 4.0, 5.0)), example=(4, 6), size=None)


class Recipe:
    """Means per channel of normalised pictures."""

    libraries: Sequence[str] = ()
    situation = ""

    def __init__(self, weights: Path, check: Callable[[], Verdict] = lambda: GOOD, **options: Any) -> None:
        self.name = weights.name
        self.files: Sequence[Path] = [weights]
        self.options: Mapping[str, Any] = options
        self.converted = self.checked = 0
        self._check = check

    def convert(self) -> Converted:
        self.converted += 1
        return Converted(means_per_channel().clone(), {"n": 3})

    def check(self, network: VinoNetwork, facts: Mapping[str, Any]) -> Verdict:
        self.checked += 1
        assert facts == {"n": 3}
        return self._check()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.pt"
    path.write_bytes(b"1")
    return path


@pytest.fixture
def store(tmp_path: Path) -> NetworkStore:
    return NetworkStore(tmp_path / "networks")


def test_a_network_prepares_its_pixels_itself(weights: Path, store: NetworkStore) -> None:
    obtained = obtain(Recipe(weights), ["fp32"], store=store)
    assert obtained.network is not None
    assert (obtained.precision, obtained.facts, obtained.notices) == ("fp32", {"n": 3}, ())
    red_green_blue = PICTURES.reshape(2, -1, 3).mean(1)[:, ::-1]
    wanted = (red_green_blue - [1, 2, 3]) / [2, 4, 5]
    np.testing.assert_allclose(obtained.network.run(PICTURES)[0], wanted, rtol=1e-5)
    np.testing.assert_allclose(obtained.network.run(PICTURES[:1])[0], wanted[:1], rtol=1e-5)


def test_the_second_time_nothing_is_converted_or_checked(weights: Path, store: NetworkStore) -> None:
    obtain(Recipe(weights), ["fp32"], store=store)
    again = Recipe(weights)
    assert obtain(again, ["fp32"], store=store).network is not None
    assert (again.converted, again.checked) == (0, 0)


def test_other_weights_options_and_situations_are_not_taken_for_the_same(weights: Path, store: NetworkStore) -> None:
    key = recipe_key(Recipe(weights))
    assert recipe_key(Recipe(weights, size=3)) != key
    obtain(Recipe(weights), ["fp32"], store=store)
    elsewhere = Recipe(weights)
    elsewhere.situation = "at night"
    obtain(elsewhere, ["fp32"], store=store)
    assert (elsewhere.converted, elsewhere.checked) == (0, 1)  # the same network, to be judged anew
    weights.write_bytes(b"2")
    assert recipe_key(Recipe(weights)) != key


@pytest.mark.parametrize("damage", [b"", b"<net", b"\x00" * 50])
def test_a_broken_entry_is_rebuilt(weights: Path, store: NetworkStore, damage: bytes) -> None:
    recipe = Recipe(weights)
    obtain(recipe, ["fp32"], store=store)
    (store.folder / recipe_key(recipe) / "network.xml").write_bytes(damage)
    assert obtain(recipe, ["fp32"], store=store).network is not None
    assert recipe.converted == 2


def test_a_broken_compiled_network_is_compiled_again(weights: Path, store: NetworkStore) -> None:
    recipe = Recipe(weights)
    obtain(recipe, ["fp32"], store=store)
    blobs = list((store.folder / recipe_key(recipe) / "compiled").iterdir())
    assert blobs
    for blob in blobs:
        blob.chmod(0o600)
        blob.write_bytes(b"broken" * 9)
    again = obtain(recipe, ["fp32"], store=store)
    assert again.network is not None
    assert again.network.run(PICTURES)[0].shape == (2, 3)
    assert recipe.converted == 1


def test_what_fails_its_check_is_not_used_and_that_is_said_once(weights: Path, store: NetworkStore) -> None:
    verdicts = iter([Verdict(False, "0.5 is too little"), GOOD])
    recipe = Recipe(weights, lambda: next(verdicts))
    said = ("'weights.pt' is not run in OpenVINO's bf16: 0.5 is too little",)
    for notices in (said, ()):  # the second time the verdict comes from the store
        obtained = obtain(recipe, ["bf16", "fp32"], store=store)
        assert obtained.network is not None
        assert obtained.precision == "fp32"
        assert obtained.notices == notices
    assert recipe.checked == 2


def test_where_all_precisions_fail_there_is_no_network(weights: Path, store: NetworkStore) -> None:
    obtained = obtain(Recipe(weights, lambda: Verdict(False, "wrong")), ["fp32"], store=store)
    assert obtained.network is None
    assert obtained.notices[-1] == "'weights.pt' runs in torch instead of OpenVINO"


def test_what_cannot_be_converted_says_why(weights: Path, store: NetworkStore) -> None:
    class Strange(Recipe):
        def convert(self) -> Converted:
            raise ConversionError("its head is strange")

    obtained = obtain(Strange(weights), ["fp32"], store=store)
    assert obtained.network is None
    assert obtained.notices == ("'weights.pt' runs in torch instead of OpenVINO: its head is strange",)


def test_a_folder_that_cannot_be_written_is_one_notice(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    recipe = Recipe(weights)
    obtained = obtain(recipe, ["fp32"], store=NetworkStore(tmp_path / "file" / "networks"))
    assert obtained.network is not None
    assert obtained.network.run(PICTURES)[0].shape == (2, 3)
    assert len(obtained.notices) == 1
    assert "cannot be cached" in obtained.notices[0]


def test_a_full_disk_is_one_notice(weights: Path, store: NetworkStore, monkeypatch: pytest.MonkeyPatch) -> None:
    from mot_dinov3.models import openvino

    def full(*_: object, **__: object) -> None:
        raise RuntimeError("Can't open bin file: No space left on device\nat somewhere")

    monkeypatch.setattr(openvino.openvino_module(), "save_model", full)
    obtained = obtain(Recipe(weights), ["fp32"], store=store)
    assert obtained.network is not None
    assert len(obtained.notices) == 1
    assert "No space left" in obtained.notices[0]
    assert list(store.folder.iterdir()) == []
