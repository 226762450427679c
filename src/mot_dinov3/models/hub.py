"""Models of the hub: found locally or downloaded, and the hub's errors translated.

Whatever is local is used without asking the network: a folder as written, one in ``models/``, the hub's own cache.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import os
import re
import time
from pathlib import Path
from typing import Any

from mot_dinov3.core.errors import (
    FormatError,
    GatedModelError,
    ModelError,
    UnreachableModelError,
    UnsupportedModelError,
)
from mot_dinov3.core.json_text import read_object
from mot_dinov3.core.timing import Clock, activity, within
from mot_dinov3.models.weights import local_path, missing_model

TOKENS = ("HF_TOKEN", "HUGGINGFACE_HUB_TOKEN", "HUGGING_FACE_HUB_TOKEN")
OPEN_MODEL = "facebook/dinov2-base"
OPEN_DETECTOR = "PekingU/rtdetr_v2_r18vd"
CONFIGS = ("config.json", "preprocessor_config.json", "processor_config.json")
WEIGHTS = (r"model(-\d+-of-\d+)?\.safetensors(\.index\.json)?", r"pytorch_model(-\d+-of-\d+)?\.bin(\.index\.json)?")
REQUEST_SECONDS = 4.0  # for the hub to answer one small request
SILENCE_SECONDS = 60.0
PROBE_SECONDS = 5.0  # for all of it: looking up a name, or trying several addresses, has no limit of its own


@dataclasses.dataclass(frozen=True)
class Advice:
    """Remedies for a missing model, in the words of the option that names it: another model, or ways to do without."""

    another: str
    local: str


EMBEDDER = Advice(
    f"an open model, e.g. --dinov3 {OPEN_MODEL}",
    "put the model into a local folder: --embed-model FOLDER, or DINOV3_LOCATION=FOLDER for DINO models\n"
    "or use a weight-free embedder: --embedder histogram",
)
DETECTOR = Advice(
    f"an open model, e.g. --det rtdetr:{OPEN_DETECTOR}",
    "put the model into a local folder: --det rtdetr:FOLDER\nor use --det motion, which needs no weights",
)
log = logging.getLogger(__name__)


class HuggingFaceHub:
    """Requests to the hub; each method raises huggingface_hub's own errors.

    A hub that did not answer is not asked again for `SILENCE_SECONDS`: a second model need not wait for it, too.

    Args:
        clock: Seconds from any fixed point.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._silent_until = -math.inf

    def cached(self, repo: str, revision: str | None) -> Path:
        """Return the folder of a cached snapshot, complete or not, without any network."""
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(repo, revision=revision, local_files_only=True, allow_patterns=["config.json"]))

    def files(self, repo: str, revision: str | None) -> list[str]:
        """Return the names of a repository's files: one small request."""
        import huggingface_hub

        if self._clock() < self._silent_until:
            raise TimeoutError("it did not answer a moment ago")
        api = huggingface_hub.HfApi(token=token())
        try:
            info = within(PROBE_SECONDS, lambda: api.model_info(repo, revision=revision, timeout=REQUEST_SECONDS))
        except TimeoutError:
            self._silent_until = self._clock() + SILENCE_SECONDS
            raise
        return [file.rfilename for file in info.siblings or []]

    def download(self, repo: str, revision: str | None, files: list[str]) -> Path:
        """Fetch the named files and return their folder."""
        import huggingface_hub

        folder = huggingface_hub.snapshot_download(
            repo, revision=revision, token=token(), allow_patterns=files, etag_timeout=REQUEST_SECONDS
        )
        return Path(folder)


HUB = HuggingFaceHub()


def locate(model: str, *, client: HuggingFaceHub | None = None, advice: Advice = EMBEDDER) -> Path:
    """Return the folder of a transformers model, downloading it where it is not local.

    Args:
        model: A folder, its name in ``models/``, or a hub id with an optional revision, ``org/name@revision``.
        client: The hub; a test passes its own.
        advice: Remedies of errors.

    Raises:
        GatedModelError: Its licence must be accepted first, or the token is refused.
        UnreachableModelError: It is not local, and the hub does not answer.
        ModelError: No such folder or model, or one without weights that can be loaded.
    """
    path = local_path(model)
    if path is not None:
        if not path.is_dir():
            remedy = "give a folder with config.json and safetensors; a file of re-identification weights needs"
            raise ModelError(f"model '{model}' is a file", remedy=f"{remedy} --embedder osnet")
        return path
    match = re.fullmatch(r"([\w.-]+(?:/[\w.-]+)?)(?:@([\w./-]+))?", model)
    if match is None or _is_path(model):
        raise missing_model(model)
    return _fetch(match[1], match[2], client or HUB, advice)


def cached_folder(model: str) -> Path | None:
    """Return the folder of a model that is on this machine with all of its weights; None where it is not.

    Nothing is requested from the network.
    """
    from huggingface_hub import errors

    try:
        folder = local_path(model) or HUB.cached(model, None)
    except (errors.LocalEntryNotFoundError, errors.HFValidationError, OSError, ValueError):
        return None
    return folder if is_complete(folder) else None


def token() -> str | None:
    """Return the hub token of the environment, or None (huggingface_hub then uses a stored login).

    Raises:
        ModelError: It contains characters that no token has. The message does not show it.
    """
    for name in TOKENS:
        value = os.environ.get(name, "").strip()
        if not re.fullmatch(r"[\x21-\x7e]*", value):
            # Sent as it is, the HTTP library would quote it in its own error message.
            raise ModelError(f"{name} is not a token: it contains blanks or non-ASCII characters") from None
        if value:
            return value
    return None


def is_complete(folder: Path) -> bool:
    """Return whether `folder` holds a config and all of the weights that it lists."""
    if not (folder / "config.json").is_file():
        return False
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return True
        index = folder / f"{name}.index.json"
        if index.is_file():
            shards = _shards(index)
            return bool(shards) and all((folder / shard).is_file() for shard in shards)
    return False


def _shards(index: Path) -> set[str]:
    """Return the files that an index lists; none where it is damaged."""
    try:
        listed = read_object(index).get("weight_map")
    except FormatError as error:
        log.debug("%s", error.message)
        return set()
    return {str(name) for name in listed.values()} if isinstance(listed, dict) else set()


def unsupported(model: str, reason: str, advice: Advice = EMBEDDER) -> UnsupportedModelError:
    """Build the error for a model whose architecture the installed transformers does not know."""
    return UnsupportedModelError(
        f"Model '{model}' is not supported by the installed transformers ({reason})",
        remedy="upgrade: pip install -U transformers huggingface_hub\n"
        "or set up with the newest transformers: bash setup.sh cpu --dinov3-edge\n"
        f"or use {advice.another}",
    )


def _is_path(model: str) -> bool:
    """Return whether `model`, which does not exist here, can only have been meant as a path."""
    path = Path(model)
    weights = path.suffix in (".pt", ".pth", ".onnx", ".xml", ".safetensors", ".bin", ".torchscript")
    in_a_folder = path.parent != Path() and path.parent.is_dir()
    return weights or in_a_folder or model.startswith(".")


def _fetch(repo: str, revision: str | None, client: HuggingFaceHub, advice: Advice) -> Path:
    from huggingface_hub import errors

    try:
        folder = client.cached(repo, revision)
        if is_complete(folder):
            return folder
    except (errors.LocalEntryNotFoundError, errors.HFValidationError, ValueError):
        log.debug("no cached snapshot of %s", repo)
    # The base of the HTTP library's errors, which is httpx's or httpx2's, depending on huggingface_hub's release.
    http_error: Any = errors.HfHubHTTPError.__bases__[0]
    try:
        with activity(f"asking Hugging Face for {repo}"):
            wanted = _wanted(repo, client.files(repo, revision))
        log.info("downloading %s from the hub", repo)
        with activity(f"downloading {repo} from Hugging Face"):
            return client.download(repo, revision, wanted)
    except (http_error, errors.EntryNotFoundError, errors.HFValidationError, OSError, RuntimeError) as error:
        raise translate(repo, revision, error, advice) from error


def _wanted(repo: str, files: list[str]) -> list[str]:
    """Return the files to download: the configs, and safetensors, or pickled tensors where there are only those."""
    for pattern in WEIGHTS:
        weights = [name for name in files if re.fullmatch(pattern, name)]
        if weights:
            return [name for name in files if name in CONFIGS] + weights
    raise ModelError(
        f"model '{repo}' contains no weights that can be loaded",
        remedy="a model for transformers has model.safetensors (or pytorch_model.bin) next to its config.json",
    )


def translate(repo: str, revision: str | None, error: BaseException, advice: Advice = EMBEDDER) -> ModelError:
    """Return the project's error, with its remedy, for one that huggingface_hub raised. Texts of the hub stay out."""
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, errors.HfHubHTTPError):
        error = error.__cause__
    status = error.response.status_code if isinstance(error, errors.HfHubHTTPError) else None
    if isinstance(error, errors.GatedRepoError):
        return _gated(repo, "", advice)
    if isinstance(error, errors.RepositoryNotFoundError | errors.HFValidationError):
        return ModelError(
            f"model '{repo}' does not exist on Hugging Face, or is private",
            remedy="check its spelling; a private model requires a token with access to it (HF_TOKEN in .env)",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return ModelError(f"model '{repo}' has no revision '{revision}' on Hugging Face", remedy="check its spelling")
    if status in (401, 403):
        return _gated(repo, f", or the token is refused (HTTP {status})", advice)
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError | TimeoutError):
        return ModelError(
            f"model '{repo}' could not be stored: {error.strerror}",
            remedy="free some disk space, or set HF_HOME to a writable folder",
        )
    reason = f"HTTP {status}" if status else type(error).__name__
    return UnreachableModelError(
        f"Model '{repo}' is not local, and Hugging Face cannot be reached ({reason})",
        remedy=advice.local,
    )


def _gated(repo: str, addition: str, advice: Advice) -> GatedModelError:
    return GatedModelError(
        f"Model '{repo}' is gated on Hugging Face{addition}",
        remedy=f"1) visit https://huggingface.co/{repo} while logged in and agree or request access "
        "(with the account of the token)\n"
        "2) give a token: HF_TOKEN=hf_xxx in .env, or log in once with: hf auth login\n"
        f"3) or use {advice.another}, or --fallback-open",
    )
