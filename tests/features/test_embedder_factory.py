"""From options to an embedder: which model, whose class, and the fallback chain. No torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mot_dinov3.core.errors import (
    ConfigError,
    GatedModelError,
    ModelError,
    UnknownNameError,
    UnreachableModelError,
    UnsupportedModelError,
    UsageError,
)
from mot_dinov3.core.structures import ModelInfo
from mot_dinov3.features import factory
from mot_dinov3.features.base import Embedder, EmbedderRequest
from mot_dinov3.features.factory import EmbedderConfig, build_embedder
from mot_dinov3.models.devices import DeviceConfig

DINOV3 = "facebook/dinov3-vitb16-pretrain-lvd1689m"
DINOV2 = "facebook/dinov2-base"


class Own:
    """A user's own embedder; notes what it was built from."""

    def __init__(self, request: EmbedderRequest) -> None:
        self.request = request
        request.locate(request.model)
        self.info, self.dim, self.same_floor = ModelInfo("own", request.model), 2, 0.1

    def embed(self, image: Any, xyxy: Any) -> Any:
        return np.zeros((len(xyxy), 2), np.float32)

    embed_images = embed

    def synchronize(self) -> None:
        return


class Half:
    """Not an embedder."""

    def __init__(self, request: EmbedderRequest) -> None:
        self.dim = 1


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DINOV3_LOCATION", raising=False)
    monkeypatch.syspath_prepend(Path(__file__).parent)


def build(*, find: Any = Path, **options: Any) -> Embedder:
    return build_embedder(EmbedderConfig(**options), device=DeviceConfig("cpu", accel="torch"), find=find)


@pytest.fixture
def _own_for_hub_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the names of hub models stand for `Own`: the chain is the factory's, not the networks'."""
    for name in ("dino", "clip", "resnet"):
        monkeypatch.setitem(factory.EMBEDDERS, name, f"{__name__}:Own")


def refusing(*refused: str, error: type[ModelError] = GatedModelError) -> Any:
    def find(model: str) -> Path:
        if model in refused:
            raise error(f"Model '{model}' is refused", remedy="accept")
        return Path(model)

    return find


@pytest.mark.parametrize(
    ("options", "model"),
    [
        ({}, DINOV3),
        ({"dinov3": "org/a"}, "org/a"),
        ({"embed_model": "org/b"}, "org/b"),
        ({"dinov3": "org/a", "embed_model": "org/a"}, "org/a"),
        ({"embedder": "clip"}, "openai/clip-vit-base-patch32"),
        ({"embedder": "resnet"}, "microsoft/resnet-50"),
        ({"embedder": "clip", "dinov3": "org/a"}, "openai/clip-vit-base-patch32"),
        ({"embedder": "clip", "dinov3": "org/a", "embed_model": "org/b"}, "org/b"),
    ],
)
@pytest.mark.usefixtures("_own_for_hub_models")
def test_the_model_is_the_named_one_or_the_default(options: dict[str, str], model: str) -> None:
    assert build(**options).info.weights == model


def test_two_models_for_dino_are_refused() -> None:
    with pytest.raises(ConfigError, match="two models"):
        EmbedderConfig(dinov3="org/a", embed_model="org/b")


@pytest.mark.parametrize("name", ["osnet", "reid"])
def test_a_reid_network_needs_a_file(name: str) -> None:
    with pytest.raises(ConfigError, match=f"the {name} embedder needs weights") as caught:
        EmbedderConfig(embedder=name)
    assert "--embed-model" in caught.value.remedy


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop_pad": -0.1}, "crop_pad"),
        ({"crop_pad": float("nan")}, "crop_pad"),
        ({"embed_batch": 0}, "embed_batch"),
        ({"pooling": "max"}, "pooling"),
        ({"crop_size": "224"}, "crop_size"),
    ],
)
def test_unusable_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EmbedderConfig(**options)


def test_an_unknown_name_suggests_the_closest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'histogram'") as caught:
        EmbedderConfig(embedder="histogramm")
    assert "osnet" in caught.value.remedy


@pytest.mark.usefixtures("_own_for_hub_models")
def test_a_folder_in_the_environment_stands_for_every_dino_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dino").mkdir()
    (tmp_path / "explicit").mkdir()
    monkeypatch.setenv("DINOV3_LOCATION", str(tmp_path / "dino"))
    assert build().info.weights == str(tmp_path / "dino")
    assert build(dinov3="facebook/dinov2-small").info.weights == str(tmp_path / "dino")
    assert build(dinov3="explicit").info.weights == "explicit"
    assert build(embedder="clip").info.weights == "openai/clip-vit-base-patch32"
    monkeypatch.setenv("DINOV3_LOCATION", str(tmp_path / "absent"))
    with pytest.raises(ModelError, match="DINOV3_LOCATION names the folder"):
        build(fallback_open=True)


@pytest.mark.parametrize(
    ("error", "get"),
    [
        (GatedModelError, f"agree at https://huggingface.co/{DINOV3}"),
        (UnsupportedModelError, "pip install -U transformers"),
        (UnreachableModelError, "--embed-model FOLDER"),
    ],
)
@pytest.mark.usefixtures("_own_for_hub_models")
def test_an_open_model_stands_in_where_no_option_names_one(error: type[ModelError], get: str) -> None:
    one = build(find=refusing(DINOV3, error=error))
    assert one.info.weights == DINOV2
    (notice,) = one.notices
    assert notice.startswith(f"{DINOV2} is used: Model '{DINOV3}' is refused. To get {DINOV3}: ")
    assert get in notice
    two = build(find=refusing(DINOV3, DINOV2, error=error))
    assert two.info.name == "histogram"
    (notice,) = two.notices
    assert notice.startswith(
        f"the built-in histogram embedder is used: Model '{DINOV3}' is refused; nor is {DINOV2} available. To get "
    )
    assert get in notice


@pytest.mark.parametrize("error", [GatedModelError, UnsupportedModelError, UnreachableModelError])
@pytest.mark.parametrize(
    "named", [{"embedder": "dino"}, {"dinov3": DINOV3}, {"embed_model": DINOV3}, {"fallback_open": False}]
)
@pytest.mark.usefixtures("_own_for_hub_models")
def test_nothing_stands_in_for_a_model_that_was_asked_for_by_name(
    error: type[ModelError], named: dict[str, Any]
) -> None:
    with pytest.raises(error, match=DINOV3):
        build(find=refusing(DINOV3, error=error), **named)
    assert build(find=refusing(DINOV3, error=error), **(named | {"fallback_open": True})).info.weights == DINOV2


@pytest.mark.usefixtures("_own_for_hub_models")
def test_nothing_stands_in_for_a_folder_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DINOV3_LOCATION", str(tmp_path))
    with pytest.raises(UnsupportedModelError):
        build(find=refusing(str(tmp_path), error=UnsupportedModelError))


@pytest.mark.usefixtures("_own_for_hub_models")
def test_the_chain_starts_where_the_user_does() -> None:
    assert build().notices == ()
    last = build(find=refusing(DINOV2), fallback_open=True, dinov3=DINOV2)
    assert (last.info.name, len(last.notices)) == ("histogram", 1)
    clip = build(find=refusing("openai/clip-vit-base-patch32"), fallback_open=True, embedder="clip")
    assert (clip.info.name, len(clip.notices)) == ("histogram", 1)


@pytest.mark.usefixtures("_own_for_hub_models")
def test_damaged_weights_are_never_replaced() -> None:
    with pytest.raises(ModelError, match="refused"):
        build(find=refusing(DINOV3, error=ModelError), fallback_open=True)


def test_a_users_own_class_gets_the_same_request() -> None:
    own = build(embedder="test_embedder_factory:Own", embed_model="mine", crop_pad=0.3, crop_size="64x32")
    assert type(own).__name__ == "Own"
    request = own.request  # type: ignore[attr-defined]
    assert (request.model, request.pad, request.size, request.square) == ("mine", 0.3, (64, 32), None)
    assert request.device == DeviceConfig("cpu", accel="torch")


def test_what_is_no_embedder_is_refused() -> None:
    with pytest.raises(UsageError, match=r"is no usable embedder: it has no info, embed"):
        build(embedder="test_embedder_factory:Half")
    with pytest.raises(UsageError, match="cannot be loaded"):
        build(embedder="no_such_module:Thing")


def test_names_and_weight_free_embedders_need_no_heavy_library() -> None:
    script = (
        "import sys; from mot_dinov3.features.factory import *\n"
        "heavy = {'torch', 'cv2', 'scipy', 'transformers', 'huggingface_hub', 'av'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "build_embedder(EmbedderConfig(embedder='histogram'), device=DeviceConfig())\n"
        "assert not heavy - {'cv2'} & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
