"""The adapter to Cutie: what it is asked, in which order, and what becomes of its answers.

Its place is taken by a package with the same modules and signatures that tells instances apart by their colour. The
last test uses Cutie itself, where it is installed.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from keypoints import scene
from mot_dinov3.core.errors import ModelError, UntrustedModelError
from mot_dinov3.core.structures import VideoInfo
from mot_dinov3.formats import labelme
from mot_dinov3.keypoints import cutie as adapter
from mot_dinov3.keypoints.cutie import CutieMaskTracker, cutie_folder, find_weights, load_cutie
from mot_dinov3.keypoints.job.wiring import KeypointRun
from mot_dinov3.video import VideoWriter

MODULES = {
    "hydra/__init__.py": """
from contextlib import contextmanager
from types import SimpleNamespace
@contextmanager
def initialize_config_module(config_module, version_base):
    assert config_module == "cutie.config"
    yield
def compose(config_name):
    return SimpleNamespace(name=config_name)
""",
    "cutie/__init__.py": "",
    "cutie/model/__init__.py": "",
    "cutie/model/utils/__init__.py": "",
    "cutie/model/utils/resnet.py": """
def resnet18(pretrained=True, extra_dim=0, model_dir=None):
    assert not pretrained, "the network is not to be asked for weights"
def resnet50(pretrained=True, extra_dim=0, model_dir=None):
    assert not pretrained, "the network is not to be asked for weights"
""",
    "cutie/model/cutie.py": """
import torch
from cutie.model.utils import resnet
class CUTIE(torch.nn.Module):
    def __init__(self, cfg):
        super().__init__()
        assert cfg.dataset_settled
        self.cfg, self.layer = cfg, torch.nn.Linear(2, 2)
        resnet.resnet18(pretrained=True, extra_dim=2, model_dir=None)
        resnet.resnet50(pretrained=True, model_dir=None)
    def load_weights(self, src_dict, init_as_zero_if_needed=False):
        self.load_state_dict(src_dict, strict=False)
    @property
    def device(self):
        return self.layer.weight.device
""",
    "cutie/inference/__init__.py": "",
    "cutie/inference/utils/__init__.py": "",
    "cutie/inference/utils/args_utils.py": """
def get_dataset_cfg(cfg):
    cfg.dataset_settled = True
""",
    "cutie/inference/inference_core.py": """
import torch
calls = []
class InferenceCore:
    def __init__(self, network, cfg, *, image_feature_store=None):
        assert cfg is network.cfg and not network.training
        self.max_internal_size, self.colours = -1, {}
        calls.append("new")
    def step(self, image, mask=None, objects=None, *, idx_mask=True, end=False, delete_buffer=True,
             force_permanent=False):
        assert self.max_internal_size > 0 and image.dtype == torch.float32 and 0 <= image.min() <= image.max() <= 1
        calls.append("step" if mask is None else (tuple(objects), force_permanent))
        if mask is not None:
            assert mask.shape == image.shape[1:] and not mask.dtype.is_floating_point
            assert set(objects) <= set(mask.unique().tolist())
            for number in objects:
                self.colours[number] = image[:, mask == number].mean(1)
        ground = torch.full((3,), 0.5)
        each = [ground, *self.colours.values()]
        return torch.stack([-(image - c[:, None, None]).abs().sum(0) for c in each]).softmax(0)
    def output_prob_to_mask(self, output_prob):
        place = output_prob.argmax(0)
        return torch.tensor([0, *self.colours])[place]
""",
}
COLOURS = {"left": (40, 40, 220), "right": (40, 220, 40)}  # BGR
SIZE = (192, 128)
SIDE = 40


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the package that takes Cutie's place."""
    folder = tmp_path / "site"
    for name, text in MODULES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr("mot_dinov3.models.weights.weights_cache", lambda: tmp_path / "cache")
    _forget()
    yield folder
    _forget()


def _forget() -> None:
    for name in [n for n in sys.modules if n.split(".")[0] in ("cutie", "hydra")]:
        del sys.modules[name]
    importlib.invalidate_caches()


@pytest.fixture
def weights(package: Path, tmp_path: Path) -> Path:
    path = tmp_path / "cache" / adapter.WEIGHTS
    path.parent.mkdir()
    torch.save({"layer.weight": torch.ones(2, 2), "layer.bias": torch.zeros(2)}, path)
    return path


def corner(name: str, frame: int) -> tuple[int, int]:
    return (20 + 2 * frame, 20) if name == "left" else (120 - 2 * frame, 70)


def square(name: str, frame: int) -> np.ndarray:
    x, y = corner(name, frame)
    return np.array([[x, y], [x + SIDE - 1, y], [x + SIDE - 1, y + SIDE - 1], [x, y + SIDE - 1]], np.float64)


def picture(frame: int, names: tuple[str, ...] = ("left", "right")) -> np.ndarray:
    image = np.full((SIZE[1], SIZE[0], 3), 128, np.uint8)
    for name in names:
        x, y = corner(name, frame)
        image[y : y + SIDE, x : x + SIDE] = COLOURS[name]
    return image


def masks(weights: Path) -> CutieMaskTracker:
    return load_cutie(weights, "cpu")()


def calls() -> list[object]:
    from cutie.inference.inference_core import calls

    return calls


def test_several_instances_are_carried_on_and_a_lost_one_has_no_outline(weights: Path) -> None:
    carrier = masks(weights)
    carrier.learn([(picture(0), [(square("left", 0),), (), (square("right", 0),)])])
    left, never, right = carrier.step(picture(5))
    assert never is None
    for found, name in ((left, "left"), (right, "right")):
        assert found is not None
        np.testing.assert_allclose([found[0].min(0), found[0].max(0)], square(name, 5)[[0, 2]])
    gone, _, right = carrier.step(picture(6, names=("right",)))
    assert gone == ()
    assert right
    assert calls() == ["new", ((1, 3), True), "step", "step"]


def test_nothing_is_asked_where_nothing_is_outlined(weights: Path) -> None:
    carrier = masks(weights)
    carrier.learn([(picture(0), [(), ()])])
    assert carrier.step(picture(1)) == [None, None]
    assert calls() == ["new"]


def test_pictures_that_outline_fewer_instances_are_passed_over(weights: Path) -> None:
    carrier = masks(weights)
    left, right = (square("left", 0),), (square("right", 0),)
    carrier.learn([(picture(0), [left, ()]), (picture(0), [left, right]), (picture(0), [(), right])])
    assert calls() == ["new", ((1, 2), True)]


def two_squares(folder: Path, labelled: tuple[int, ...], frames: int = 10) -> Path:
    """Write a video of two squares that move, with a point and an outline each in the labelled frames."""
    video = folder / "v.mp4"
    with VideoWriter(video, info=VideoInfo(str(video), *SIZE, 10.0, frames)) as writer:
        for frame in range(frames):
            writer.write(picture(frame), frame / 10)
    (folder / "v").mkdir()
    for frame in labelled:
        shapes = []
        for name in COLOURS:
            x, y = corner(name, frame)
            shapes.append(scene.shape(name, square(name, frame).tolist(), "polygon"))
            shapes.append(scene.shape("middle", [[x + SIDE / 2, y + SIDE / 2]], "point", instance_label=name))
        (folder / "v" / f"v_{frame:09d}.json").write_text(json.dumps(scene.document(shapes, SIZE)))
    return video


def off(run: KeypointRun, frame: int) -> float:
    """How many pixels the outlines of a frame are off at most."""
    found = labelme.read_outlines(labelme.frame_path(run.paths.folder, run.paths.stem, frame))
    assert found.keys() == COLOURS.keys()
    boxes = [(np.vstack(p).min(0), np.vstack(p).max(0), square(n, frame)) for n, p in found.items()]
    return max(float(np.abs([low - s[0], high - s[2]]).max()) for low, high, s in boxes)


def test_a_run_takes_its_outlines_from_cutie(tmp_path: Path, weights: Path) -> None:
    run = scene.run(two_squares(tmp_path, (0,)), masks="cutie")
    assert max(off(run, frame) for frame in range(1, 10)) <= 2  # 2: video compression at the edges
    assert calls() == ["new", ((1, 2), True), *["step"] * 9]


def test_each_pass_of_a_gap_has_a_memory_of_its_own_and_knows_both_labelled_frames(
    tmp_path: Path, weights: Path
) -> None:
    run = scene.run(two_squares(tmp_path, (0, 9)), masks="cutie")
    assert max(off(run, frame) for frame in range(1, 9)) <= 2
    both = [((1, 2), True)] * 2
    forward, backward = ["new", *both, *["step"] * 9], ["new", *both, *["step"] * 8]
    assert calls() == [*forward, *backward, "new", ((1, 2), True)]


@pytest.mark.parametrize("kind", ["nothing", "a module of that name", "a package of that name"])
def test_without_cutie_the_project_is_named_and_no_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    if importlib.util.find_spec("cutie"):
        pytest.skip("some cutie is installed")
    if kind == "a module of that name":
        (tmp_path / "cutie.py").write_text("")
    elif kind == "a package of that name":
        (tmp_path / "cutie").mkdir()
        (tmp_path / "cutie" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    _forget()
    with pytest.raises(ModelError, match="not installed") as caught:
        find_weights([tmp_path])
    _forget()
    assert "hkchengrex/Cutie" in caught.value.remedy
    assert "pip install" not in caught.value.remedy
    assert caught.value.exit_code == 4


def test_weights_are_looked_for_at_named_places_and_never_fetched(tmp_path: Path, package: Path) -> None:
    with pytest.raises(ModelError, match="weights") as caught:
        find_weights([tmp_path / "models"])
    assert str(tmp_path / "models") in caught.value.remedy
    assert str(package / "weights") in caught.value.remedy
    own = package / "weights" / adapter.WEIGHTS
    own.parent.mkdir()
    own.write_bytes(b"")
    assert find_weights([tmp_path / "models"]) == own
    assert cutie_folder() == package / "cutie"


class Code:
    """Something that runs when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("this must not run",)


def test_other_weights_are_refused(weights: Path) -> None:
    torch.save({"layer.weight": torch.ones(2, 2)}, weights)
    with pytest.raises(ModelError, match="1 of its tensors"):
        load_cutie(weights, "cpu")
    torch.save({"layer.weight": torch.ones(3, 2), "layer.bias": torch.zeros(3)}, weights)
    with pytest.raises(ModelError, match="does not contain Cutie's weights"):
        load_cutie(weights, "cpu")
    torch.save(Code(), weights)
    with pytest.raises(UntrustedModelError):
        load_cutie(weights, "cpu")


def test_a_cutie_whose_requirements_are_missing_is_said(weights: Path, package: Path) -> None:
    (package / "hydra" / "__init__.py").write_text("import omega_conf_that_is_not_there")
    with pytest.raises(ModelError, match="omega_conf_that_is_not_there"):
        load_cutie(weights, "cpu")


@pytest.mark.slow
def test_cutie_itself(tmp_path: Path) -> None:
    try:
        weights = find_weights([Path(), Path("models")])
    except ModelError as error:
        pytest.skip(error.message)
    carrier = load_cutie(weights, "cpu")()
    carrier.learn([(picture(0), [(square("left", 0),), (square("right", 0),)])])
    for frame in range(1, 5):
        for found, name in zip(carrier.step(picture(frame)), COLOURS):
            assert found
            np.testing.assert_allclose([found[0].min(0), found[0].max(0)], square(name, frame)[[0, 2]], atol=4)
