"""What has to be on disk before a run starts: the built-in data, the store, the frozen features."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

from stclip.config import Experiment
from stclip.data.store import SpotStore, check_content, open_store
from stclip.errors import ConfigError, InputError, shorten
from stclip.files.addresses import is_address
from stclip.terminal.progress import ProgressBar, waiting


def prepare_data(config: Experiment, quiet: bool = False) -> SpotStore:
    """Make, fetch or open everything that the runs of this configuration read, with progress bars for what takes time.

    Raises DataError: the data set is missing or cannot be used; nothing half-written is left.
    """
    from stclip.config.registry import is_pretrained
    from stclip.data.batches.frozen_features import frozen_features, frozen_sentences, reads_features
    from stclip.data.batches.gene_inputs import spot_genes
    from stclip.data.batches.scaled_features import scaling_tables
    from stclip.data.builtin.synthetic import ensure_builtin
    from stclip.data.store.fetch import fetch_dataset

    check_models(config)

    if is_address(config.data.dataset):
        with ProgressBar(f"fetching {config.data.dataset}", quiet) as bar:
            fetch_dataset(config.data.dataset, bar.update)
    with ProgressBar(f"making {config.data.dataset}", quiet) as bar:
        ensure_builtin(config.data, bar.update)
    with ProgressBar("building the spot store", quiet) as bar:
        store = open_store(config.data, bar.update)
    with waiting("checking the spot store", quiet):
        check_content(store)
    if reads_features(config.model.image):
        with ProgressBar(f"features of the tiles by {config.model.image.name}", quiet) as bar:
            frozen_features(store, config.model.image.name, config.model.image.center, bar.update)
        with waiting("scaling the features", quiet):
            scaling_tables(store, config.model.image.name, config.model.image.center)
    if is_pretrained(config.model.genes.name) and not config.model.genes.finetune:
        with ProgressBar(f"features of the gene sentences by {config.model.genes.name}", quiet) as bar:
            frozen_sentences(store, config.model.genes.name, config.features.normalize_genes, bar.update)
    else:
        with waiting("ordering the gene sentences", quiet):
            spot_genes(store, config)
    return store


def check_installation() -> None:
    """Raise InputError for a CUDA build of torchvision beside a CPU build of torch.

    Lightning's metrics import torchvision where there is one, and fail with "operator torchvision::nms does not exist".
    Nothing here needs it. The versions are read, not imported: that would take seconds.
    """
    try:
        torch_build, vision_build = version("torch"), version("torchvision")
    except PackageNotFoundError:
        return
    if torch_build.endswith("+cpu") and not vision_build.endswith("+cpu"):
        raise InputError(
            f"torchvision {vision_build} does not fit torch {torch_build}: importing Lightning would fail; "
            "run: pip uninstall torchvision (stclip does not use it)"
        )


def check_models(config: Experiment) -> None:
    """Raise ConfigError when a pretrained model that the configuration names is not on this machine, or does not work.

    Each is loaded, and given a tile or a sentence, once for each content of its files: a trial would do it first.
    """
    from stclip.config.registry import is_pretrained
    from stclip.model.pretrained import fingerprint

    for kind, name in (("image", config.model.image.name), ("gene", config.model.genes.name)):
        if is_pretrained(name):
            _try_model(kind, name, fingerprint(name))


@lru_cache(maxsize=64)
def _try_model(kind: str, name: str, content: str) -> None:
    import torch

    try:
        with torch.inference_mode():
            if kind == "image":
                from stclip.model.pretrained_image import VisionBackbone

                VisionBackbone(name).eval()(torch.zeros(1, 3, 32, 32))
            else:
                from stclip.model.pretrained_genes import SentenceTokens, TextBackbone

                TextBackbone(name).eval()(SentenceTokens(name)(["ACTB"]))
    except InputError:
        raise
    except Exception as error:  # transformers raises what its many models raise
        reason = shorten(f"{type(error).__name__}: {error}", 200)
        raise ConfigError(f"{name}: cannot be used as {kind} tower ({reason}); name another model") from None


def check_hardware(config: Experiment) -> None:
    """Raise ConfigError when this machine has not the accelerators that the configuration asks for."""
    if config.trainer.accelerator != "gpu":
        return
    import torch

    there = torch.cuda.device_count()
    if there < config.trainer.devices:
        raise ConfigError(
            f"trainer.accelerator=gpu with trainer.devices={config.trainer.devices}: this machine has {there} GPUs; "
            "use trainer.accelerator=auto, or fewer devices"
        )


def skipped_note(store: SpotStore) -> str | None:
    """How many broken spots `data.on_bad_spot: skip` left out, and of which slides; None when there are none."""
    if not store.skipped:
        return None
    slides = [f"{slide}: {count}" for slide, count in store.skipped.items()]
    more = f", and {len(slides) - 10} more slides" if len(slides) > 10 else ""
    total = sum(store.skipped.values())
    return f"{total} broken spot{'s' * (total > 1)} skipped ({', '.join(slides[:10])}{more})"
