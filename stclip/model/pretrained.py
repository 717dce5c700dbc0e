"""Pretrained models of the `transformers` kind: found on this machine, known by their content, loaded without running code."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stclip.config.registry import PREFIX, is_pretrained
from stclip.errors import ConfigError, DataError
from stclip.extras import extra
from stclip.files.paths import is_folder, user_path
from stclip.files.whole_files import read_json_object

if TYPE_CHECKING:
    from torch import nn

_CHUNK = 2**22


def located_name(name: str) -> str:
    """`hf:FOLDER` with the folder written out, for a process that runs elsewhere; any other name as it is."""
    folder = user_path(name.removeprefix(PREFIX).strip())
    known = is_pretrained(name) and name.strip() != PREFIX and is_folder(folder)
    return f"{PREFIX}{folder.absolute()}" if known else name


def model_folder(name: str) -> Path:
    """Where the model `hf:...` lies on this machine: the folder itself, or its place in the hub's cache.

    Nothing is downloaded here. Raises ConfigError: it is not there (with the command that fetches it), or holds no model.
    """
    reference = name.removeprefix(PREFIX).strip()
    if not reference:
        raise ConfigError(
            f"'{PREFIX}' must be followed by a model's name on the hub or its folder, as in "
            "hf:laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
        )
    folder = user_path(reference)
    if not is_folder(folder):
        folder = _cached(reference)
    if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors")):
        raise ConfigError(
            f"{name}: {folder} must hold config.json and weights as .safetensors (no others are read, since they may run code); "
            "save the model with save_pretrained, or name another"
        )
    return folder


def model_config(name: str) -> dict[str, Any]:
    """config.json of a model. Raises ConfigError as `model_folder` does, or when it is no JSON object."""
    return _json(model_folder(name) / "config.json", name)


def fingerprint(name: str) -> str:
    """A name for the content of a model's files (configuration, weights, tokenizer, transform). Raises ConfigError."""
    folder = model_folder(name)
    files = sorted(
        p for p in folder.iterdir() if p.suffix in (".json", ".safetensors", ".txt", ".model") and p.is_file()
    )
    stamps = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return _digest(tuple(stamps))


@lru_cache(maxsize=8)
def _digest(files: tuple[tuple[str, int, int], ...]) -> str:
    """Size and time only decide whether it is read again."""
    digest = blake2b(digest_size=8)
    for path, size, _ in files:
        digest.update(f"{Path(path).name} {size} ".encode())
        with Path(path).open("rb") as file:
            while block := file.read(_CHUNK):
                digest.update(block)
    return digest.hexdigest()


def load_pretrained(name: str) -> nn.Module:
    """The model of a folder with its weights, in eval mode, on the CPU.

    Raises ConfigError: not there, damaged, or weights are missing that the model needs.
    """
    transformers = extra("transformers", "pretrained", f"{PREFIX} models")
    folder = model_folder(name)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        model, info = transformers.AutoModel.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except Exception as error:  # transformers raises what its many models raise
        raise ConfigError(
            f"{name}: cannot be loaded from {folder} ({' '.join(str(error).split())[:160]}); fetch it again, or name another"
        ) from None
    missing = [key for key in info["missing_keys"] if "pooler" not in key]
    if missing:
        raise ConfigError(
            f"{name}: {folder} lacks {len(missing)} weights, such as {missing[0]}; fetch it again, or name another"
        )
    return model.eval()


def load_tokenizer(name: str) -> Any:
    """The tokenizer of a model's folder. Raises ConfigError when it has none that can be read."""
    transformers = extra("transformers", "pretrained", f"{PREFIX} models")
    folder = model_folder(name)
    try:
        return transformers.AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:
        raise ConfigError(
            f"{name}: {folder} has no tokenizer that can be read ({' '.join(str(error).split())[:160]}); a gene tower needs one"
        ) from None


def image_transform(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and spread of the colours that a vision model was trained with, in 0..1; of ImageNet where it does not say."""
    path = model_folder(name) / "preprocessor_config.json"
    told = _json(path, name) if path.is_file() else {}
    mean = told.get("image_mean", (0.485, 0.456, 0.406))
    std = told.get("image_std", (0.229, 0.224, 0.225))
    try:
        found = tuple(map(float, mean)), tuple(map(float, std))
        if any(len(values) != 3 for values in found) or min(found[1]) <= 0:
            raise ValueError
    except (TypeError, ValueError):
        raise ConfigError(
            f"{path}: image_mean and image_std must be three numbers each, got {mean} and {std}"
        ) from None
    return found


def _json(path: Path, name: str) -> dict[str, Any]:
    try:
        return read_json_object(path)
    except DataError as error:
        raise ConfigError(f"{name}: {error}; or fetch the model again") from None


def _cached(reference: str) -> Path:
    hub = extra("huggingface_hub", "pretrained", f"{PREFIX} models")
    try:
        return Path(hub.snapshot_download(reference, local_files_only=True))
    except (OSError, ValueError):  # not in the cache; or no name that the hub could have
        raise ConfigError(
            f"{PREFIX}{reference}: no such folder, and the model is not in this machine's cache; fetch it with: hf download "
            f"{reference} --include '*.json' '*.txt' '*.safetensors'"
        ) from None
