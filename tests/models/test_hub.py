"""Finding models: local first, then the hub, whose own errors become remedies. No network."""

from __future__ import annotations

import importlib
import json
import threading
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants, errors

from mot_dinov3.core.errors import GatedModelError, ModelError, UnreachableModelError
from mot_dinov3.core.timing import within
from mot_dinov3.models import hub

SECRET = "hf_VerySecretTokenOfMine"
MODEL = "facebook/dinov3-vits16-pretrain-lvd1689m"
# huggingface_hub builds its errors on httpx or httpx2, depending on its release.
HTTP = importlib.import_module(errors.Response.__module__.partition(".")[0])


def response(status: int) -> object:
    request = HTTP.Request("GET", "https://huggingface.co/x", headers={"authorization": f"Bearer {SECRET}"})
    return HTTP.Response(status, request=request)


class FakeHub:
    """A hub without a cache that raises `error` on the small request, or while downloading."""

    def __init__(self, error: Exception, *, late: bool = False) -> None:
        self.error, self.late = error, late

    def cached(self, repo: str, revision: str | None) -> Path:
        raise errors.LocalEntryNotFoundError("not cached")

    def files(self, repo: str, revision: str | None) -> list[str]:
        if not self.late:
            raise self.error
        return ["config.json", "model.safetensors"]

    def download(self, repo: str, revision: str | None, files: list[str]) -> Path:
        raise self.error


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


GATED = [
    errors.GatedRepoError(f"gated {SECRET}", response=response(403)),
    errors.GatedRepoError("gated", response=response(401)),
    errors.HfHubHTTPError(f"401 for {SECRET}", response=response(401)),
    errors.HfHubHTTPError("403", response=response(403)),
    caused(errors.LocalEntryNotFoundError("x"), errors.HfHubHTTPError("403", response=response(403))),
]
UNREACHABLE = [
    errors.OfflineModeIsEnabled("offline"),
    errors.LocalEntryNotFoundError("no connection"),
    errors.HfHubHTTPError("down", response=response(503)),
    errors.HfHubHTTPError("slow down", response=response(429)),
    HTTP.ConnectError("no such host"),
    HTTP.ReadTimeout("too slow"),
    TimeoutError("no answer"),
    ConnectionResetError(104, "reset"),
]
UNUSABLE = [
    errors.RepositoryNotFoundError("no", response=response(404)),
    errors.RevisionNotFoundError("no", response=response(404)),
    errors.HFValidationError("bad id"),
    OSError(28, "No space left on device"),
]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    ("error", "kind"),
    [(e, GatedModelError) for e in GATED]
    + [(e, UnreachableModelError) for e in UNREACHABLE]
    + [(e, ModelError) for e in UNUSABLE],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_each_error_of_the_hub_becomes_its_remedy(error: Exception, kind: type[ModelError], late: bool) -> None:
    with pytest.raises(ModelError) as caught:
        hub.locate(MODEL, client=FakeHub(error, late=late))
    assert type(caught.value) is kind
    assert MODEL in caught.value.message
    assert "\n" not in caught.value.message
    assert SECRET not in caught.value.message + caught.value.remedy
    assert caught.value.exit_code == 4


def test_gated_says_the_three_ways_out() -> None:
    with pytest.raises(GatedModelError, match=f"Model '{MODEL}' is gated on Hugging Face") as caught:
        hub.locate(MODEL, client=FakeHub(GATED[0]))
    first, second, third = caught.value.remedy.splitlines()
    assert f"https://huggingface.co/{MODEL}" in first
    assert "agree or request access" in first
    assert "HF_TOKEN=hf_xxx in .env" in second
    assert "hf auth login" in second
    assert "--dinov3 facebook/dinov2-base" in third
    assert "--fallback-open" in third


def test_unreachable_offers_a_folder_and_a_weight_free_embedder() -> None:
    with pytest.raises(UnreachableModelError) as caught:
        hub.locate(MODEL, client=FakeHub(UNREACHABLE[0]))
    for way in ("--embed-model FOLDER", "DINOV3_LOCATION", "--embedder histogram"):
        assert way in caught.value.remedy


def test_a_full_disk_is_named() -> None:
    with pytest.raises(ModelError, match="No space left on device"):
        hub.locate(MODEL, client=FakeHub(UNUSABLE[-1], late=True))


class ListedHub(FakeHub):
    """A hub that lists `names` and notes what is fetched."""

    def __init__(self, names: list[str], folder: Path) -> None:
        self.names, self.folder, self.fetched = names, folder, ("", None, [""])

    def files(self, repo: str, revision: str | None) -> list[str]:
        return self.names

    def download(self, repo: str, revision: str | None, files: list[str]) -> Path:
        self.fetched = (repo, revision, files)
        return self.folder


def test_safetensors_are_preferred_and_nothing_else_is_fetched(tmp_path: Path) -> None:
    names = ["README.md", "config.json", "model.safetensors", "modeling.py", "onnx/config.json", "pytorch_model.bin"]
    client = ListedHub([*names, "preprocessor_config.json"], tmp_path)
    assert hub.locate("org/name@v2.0", client=client) == tmp_path
    assert client.fetched == ("org/name", "v2.0", ["config.json", "preprocessor_config.json", "model.safetensors"])


def test_shards_come_with_their_index(tmp_path: Path) -> None:
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"]
    client = ListedHub([*shards, "config.json"], tmp_path)
    hub.locate("org/name", client=client)
    assert client.fetched == ("org/name", None, ["config.json", *shards])


def test_pickled_tensors_are_the_second_choice_and_none_an_error(tmp_path: Path) -> None:
    client = ListedHub(["config.json", "pytorch_model.bin", "tf_model.h5"], tmp_path)
    hub.locate("org/name", client=client)
    assert client.fetched[2] == ["config.json", "pytorch_model.bin"]
    with pytest.raises(ModelError, match="no weights"):
        hub.locate("org/name", client=ListedHub(["config.json", "tf_model.h5"], tmp_path))


def test_a_complete_cached_snapshot_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = tmp_path / "models--org--name/snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (tmp_path / "models--org--name/refs").mkdir()
    (tmp_path / "models--org--name/refs/main").write_text("a" * 40)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    client = hub.HuggingFaceHub()
    monkeypatch.setattr(client, "files", FakeHub(errors.OfflineModeIsEnabled("offline")).files)
    (snapshot / "config.json").write_text("{}")
    with pytest.raises(UnreachableModelError):  # its weights are missing: an interrupted download
        hub.locate("org/name", client=client)
    (snapshot / "model.safetensors").write_bytes(b"")
    assert hub.locate("org/name", client=client) == snapshot


def test_a_sharded_folder_is_complete_with_its_last_shard(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "1.st", "b": "2.st"}}))
    (tmp_path / "1.st").write_bytes(b"")
    assert not hub.is_complete(tmp_path)
    (tmp_path / "2.st").write_bytes(b"")
    assert hub.is_complete(tmp_path)


def test_local_folders_win_over_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    client = FakeHub(AssertionError("the hub was asked"))
    for folder, name in (("models/one", "one"), ("models/two", "org/two"), ("models/org/three", "org/three")):
        Path(folder).mkdir(parents=True)
        assert hub.locate(name, client=client) == Path(folder)
    assert hub.locate(str(tmp_path / "models/one"), client=client) == tmp_path / "models/one"


@pytest.mark.parametrize(
    "name", ["./nothing", "/no/such/folder", "models/nothing", "a/b/c", "dino.safetensors", "~/no"]
)
def test_a_path_that_does_not_exist_never_reaches_the_hub(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("models").mkdir()
    with pytest.raises(ModelError, match="does not exist") as caught:
        hub.locate(name, client=FakeHub(AssertionError("the hub was asked")))
    assert type(caught.value) is ModelError


def test_a_file_is_no_transformers_model(tmp_path: Path) -> None:
    (tmp_path / "dino.pth").write_bytes(b"x")
    with pytest.raises(ModelError, match="is a file") as caught:
        hub.locate(str(tmp_path / "dino.pth"))
    assert "--embedder osnet" in caught.value.remedy


@pytest.mark.parametrize("name", ["HF_TOKEN", "HUGGINGFACE_HUB_TOKEN", "HUGGING_FACE_HUB_TOKEN"])
def test_a_token_is_taken_from_each_of_its_names(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for other in hub.TOKENS:
        monkeypatch.delenv(other, raising=False)
    assert hub.token() is None
    monkeypatch.setenv("HF_TOKEN", "  ")
    monkeypatch.setenv(name, f" {SECRET}\n")
    assert hub.token() == SECRET


def test_an_impossible_token_is_named_but_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", f"{SECRET} é")
    with pytest.raises(ModelError, match="HF_TOKEN is not a token") as caught:
        hub.token()
    assert SECRET not in caught.value.message + caught.value.remedy


def test_the_real_client_sends_the_token_and_reads_the_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    seen: list[object] = []

    def model_info(api: huggingface_hub.HfApi, repo: str, *, revision: str | None, timeout: float) -> object:
        seen.append((api.token, repo, revision))
        raise errors.GatedRepoError("gated", response=response(401))

    def snapshot_download(repo: str, **options: object) -> str:
        raise errors.LocalEntryNotFoundError("not cached")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    with pytest.raises(GatedModelError):
        hub.locate(f"{MODEL}@abc")
    assert seen == [(SECRET, MODEL, "abc")]


def test_a_call_that_hangs_is_given_up() -> None:
    hangs = threading.Event()
    with pytest.raises(TimeoutError, match="no answer"):
        within(0.01, hangs.wait)
    hangs.set()
    assert within(10, lambda: 7) == 7
    with pytest.raises(KeyError):
        within(10, lambda: {}["x"])


def test_a_hub_that_did_not_answer_is_not_asked_again_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked = [0.0], []

    def silent(self: object, repo: str, **_: object) -> None:
        asked.append(repo)
        raise TimeoutError("no answer")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", silent)
    client = hub.HuggingFaceHub(clock=lambda: now[0])
    for repo, at in (("org/a", 0.0), ("org/b", 59.0), ("org/c", 61.0)):
        now[0] = at
        with pytest.raises(TimeoutError):
            client.files(repo, None)
    assert asked == ["org/a", "org/c"]
