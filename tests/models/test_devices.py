"""Which device and number format a model runs with."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from mot_dinov3.core.errors import ConfigError, UsageError
from mot_dinov3.models import devices
from mot_dinov3.models.devices import DeviceConfig, DevicePlan, plan_run, resolve_device, resolve_precision, usable_cpus


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two CUDA devices, the first of which has no bf16."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a plain CPU."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.usefixtures("cards")
@pytest.mark.parametrize(
    ("name", "device"), [("auto", "cuda:0"), ("cuda", "cuda:0"), ("1", "cuda:1"), ("cuda:1", "cuda:1"), ("cpu", "cpu")]
)
def test_cards_are_found_by_name_and_index(name: str, device: str) -> None:
    assert resolve_device(name) == device


@pytest.mark.usefixtures("cards")
def test_a_card_too_many_lists_those_that_exist() -> None:
    with pytest.raises(UsageError, match="'2'") as caught:
        resolve_device("2")
    assert "cuda:1" in caught.value.remedy


@pytest.mark.usefixtures("bare")
def test_a_plain_machine_has_its_cpu_only() -> None:
    assert resolve_device("auto") == "cpu"
    with pytest.raises(UsageError, match="'cuda'") as caught:
        resolve_device("cuda")
    assert caught.value.remedy == "valid here: auto, cpu"


@pytest.mark.parametrize(
    ("flags", "precision"), [({"avx512_bf16"}, "bf16"), ({"amx_bf16"}, "bf16"), ({"avx2"}, "fp32")]
)
def test_auto_takes_bf16_where_the_cpu_multiplies_in_it(
    flags: set[str], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "_cpu_flags", lambda: flags)
    assert resolve_precision("auto", "cpu") == precision


def test_the_processor_is_named_with_the_units_that_make_networks_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"model name": "A CPU", "flags": "fpu amx_bf16 avx2 avx512_bf16"}
    monkeypatch.setattr(devices, "_cpu_fields", lambda: told)
    monkeypatch.setattr(devices, "usable_cpus", lambda: 2)
    assert devices.cpu_description() == "A CPU, 2 processors, AVX2, AVX512-BF16, AMX-BF16"


@pytest.mark.usefixtures("cards")
def test_an_old_card_takes_fp16() -> None:
    assert resolve_precision("auto", "cuda:0") == "fp16"
    with pytest.raises(UsageError, match="'bf16' is not available on cuda:0") as caught:
        resolve_precision("bf16", "cuda:0")
    assert caught.value.remedy == "valid here: auto, fp32, fp16"


def test_a_cpu_does_not_compute_in_fp16() -> None:
    assert resolve_precision("bf16", "cpu") == "bf16"
    with pytest.raises(UsageError, match="'fp16'"):
        resolve_precision("fp16", "cpu")


def test_an_unknown_precision_lists_the_valid_ones() -> None:
    with pytest.raises(ConfigError, match="one of auto, fp32, bf16, fp16"):
        DeviceConfig(precision="int8")


@pytest.fixture
def modern(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU with bf16, and OpenVINO installed, whether or not it is."""
    monkeypatch.setattr(devices, "_cpu_flags", lambda: {"avx512_bf16"})
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())


@pytest.mark.usefixtures("modern")
def test_auto_tries_bf16_then_fp32_and_never_int8() -> None:
    assert plan_run(DeviceConfig("cpu")).openvino == ("bf16", "fp32")
    assert plan_run(DeviceConfig("cpu", precision="fp32")).openvino == ("fp32",)
    assert plan_run(DeviceConfig("cpu", precision="bf16", accel="openvino")).openvino == ("bf16",)
    assert plan_run(DeviceConfig("cpu", accel="torch")) == DevicePlan("cpu")


@pytest.mark.usefixtures("modern")
def test_a_precision_that_openvino_lacks_lists_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="'fp16'") as caught:
        plan_run(DeviceConfig("cpu", precision="fp16", accel="openvino"))
    assert caught.value.remedy == "valid here: auto, fp32, bf16"
    monkeypatch.setattr(devices, "_cpu_flags", lambda: {"avx2"})
    assert plan_run(DeviceConfig("cpu")).openvino == ("fp32",)
    assert plan_run(DeviceConfig("cpu", precision="bf16")).openvino == ()  # torch can, slowly
    with pytest.raises(UsageError, match="'bf16'") as caught:
        plan_run(DeviceConfig("cpu", precision="bf16", accel="openvino"))
    assert caught.value.remedy == "valid here: auto, fp32"


def test_openvino_that_is_asked_for_and_missing_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UsageError, match="not installed") as caught:
        plan_run(DeviceConfig("cpu", accel="openvino"))
    assert caught.value.exit_code == 2
    assert "pip install 'mot-dinov3[fast]'" in caught.value.remedy
    plan = plan_run(DeviceConfig("cpu"))
    assert plan.openvino == ()
    assert [notice for notice in plan.notices if "pip install 'mot-dinov3[fast]'" in notice]


@pytest.mark.usefixtures("cards")
def test_a_card_is_not_for_openvino() -> None:
    assert plan_run(DeviceConfig("cuda")) == DevicePlan("cuda:0")
    with pytest.raises(UsageError, match="runs on the CPU, not on cuda:0"):
        plan_run(DeviceConfig("cuda", accel="openvino"))


def test_a_machine_without_a_gpus_driver_is_known_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(devices, "GPU_NODES", ())
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr("builtins.__import__", refuse_torch)
    assert resolve_device("auto") == "cpu"


def refuse_torch(name: str, *args: object) -> object:
    assert name != "torch"
    return importlib.__import__(name, *args)  # type: ignore[arg-type]


def test_an_unknown_accelerator_lists_the_valid_ones() -> None:
    with pytest.raises(ConfigError, match="one of auto, torch, openvino"):
        DeviceConfig(accel="tensorrt")


def test_openmps_limit_of_threads_is_everyones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(4)), raising=False)
    for limit, count in (("", 4), ("1", 1), ("3,2", 3), ("16", 4), ("0", 4), ("many", 4)):
        monkeypatch.setenv("OMP_NUM_THREADS", limit)
        assert usable_cpus() == count
