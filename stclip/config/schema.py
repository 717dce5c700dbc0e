"""The typed configuration of one training run. Every default of the project lives here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    model_validator,
)

from stclip.config.registry import GENE_TOWERS, IMAGE_TOWERS, LOGGERS, LOSSES, Entry, is_pretrained, lookup

KS = (1, 5, 10)  # of Recall@K

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]


def _known(kind: str, registry: Mapping[str, Entry]) -> AfterValidator:
    def check(name: str) -> str:
        lookup(kind, registry, name)
        return name

    return AfterValidator(check)


def _check_finetune(finetune: bool, name: str) -> None:
    if finetune and not is_pretrained(name):
        raise ValueError(
            f"finetune needs a pretrained model, name: hf:..., got '{name}'; set finetune: false"
        )


class StrictModel(BaseModel):
    """A section of a configuration: unknown keys are errors, values never change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, protected_namespaces=())

    @classmethod
    def section_of(cls, tree: Any) -> type[StrictModel]:
        """The class that reads this mapping: this one, except where a name in the mapping chooses among several."""
        return cls

    @model_validator(mode="before")
    @classmethod
    def _a_truth_is_no_number(cls, tree: Any) -> Any:
        """Pydantic takes true for 1."""
        for key, value in tree.items() if isinstance(tree, Mapping) else ():
            if isinstance(value, bool) and key in cls.model_fields:
                annotation = cls.model_fields[key].annotation
                kinds = {annotation, *get_args(annotation)}
                if kinds & {int, float} and bool not in kinds:
                    raise ValueError(f"{key} must be a number, got {str(value).lower()}")
        return tree


class DataConfig(StrictModel):
    """Which spots are read and how they are put into batches."""

    dataset: str = "synthetic_medium"  # a folder below `root`, a path, or an address: s3://bucket/NAME
    root: Path | None = None  # None: data/processed of this checkout
    image_size: Annotated[int, Field(ge=8, le=1024)] = 64  # pixels; tiles of another size are resized
    max_genes: Count = 50  # genes read from the front of a sentence
    num_neighbors: Count = 6
    batching: Literal["random", "neighborhood"] = "random"
    batch_size: Annotated[int, Field(ge=2, le=1_000_000)] = 64
    on_bad_spot: Literal["error", "skip"] = "error"


class FeaturesConfig(StrictModel):
    """How outputs of a frozen encoder are scaled before the tower sees them.

    `train` uses mean and spread of the training slides. `slide` uses those of the spot's own slide: it removes a
    stain shift between slides, and assumes that all tiles of a test slide are at hand (no pairs are used).
    """

    normalize: Literal["none", "train", "slide"] = "train"
    # The same for expression. `slide` orders each gene sentence by how unusual a gene's rank is on its slide, which takes off
    # what all its spots share, such as a shift between laboratories. It, too, assumes that all spots of a test slide are at hand.
    normalize_genes: Literal["none", "slide"] = "none"


class ImageTowerConfig(StrictModel):
    """The image encoder."""

    name: Annotated[str, _known("image tower", IMAGE_TOWERS)] = "stain"
    width: Count = 256  # hidden units of the MLP; channels of the last stage of `cnn`
    dropout: Fraction = 0.1
    finetune: bool = False  # of `hf:` models: train the model itself, not only a head on its outputs
    # Of `stain`: the share of a tile's side that is the spot's own, where tiles show the tissue around it too. Below 1 the
    # statistics are taken twice, of the middle and of the whole.
    center: Annotated[float, Field(gt=0, le=1)] = 1.0

    @model_validator(mode="after")
    def _options_have_a_tower(self) -> ImageTowerConfig:
        _check_finetune(self.finetune, self.name)
        if self.center < 1 and self.name != "stain":
            raise ValueError(
                f"center is of the tower 'stain', got {self.center:g} with '{self.name}'; set center: 1"
            )
        return self


class GeneTowerConfig(StrictModel):
    """The gene encoder."""

    name: Annotated[str, _known("gene tower", GENE_TOWERS)] = "bag"
    width: Count = 256
    dropout: Fraction = 0.1
    gene_dropout: Fraction = 0.2  # of `bag`: share of a sentence's genes left out at each training step
    finetune: bool = False  # of `hf:` models: train the model itself, not only a head on its outputs

    @model_validator(mode="after")
    def _options_have_a_tower(self) -> GeneTowerConfig:
        _check_finetune(self.finetune, self.name)
        return self


class ModelConfig(StrictModel):
    """Two towers that end in one space, and the temperature between them."""

    image: ImageTowerConfig = ImageTowerConfig()
    genes: GeneTowerConfig = GeneTowerConfig()
    embed_dim: Count = 128
    temperature: Annotated[float, Field(gt=1e-3, le=10)] = 0.07  # the start value when learnable
    learnable_temperature: bool = True


class AugmentConfig(StrictModel):
    """Random changes of training tiles, on the device (image towers that see tiles; frozen ones do not)."""

    flips: bool = True
    quarter_turns: bool = True
    # Largest relative change of brightness, contrast, hue.
    color_jitter: Annotated[float, Field(ge=0, le=1)] = 0.2


class LossSection(StrictModel):
    """What every loss's section has. The other fields are the loss's own, and the arguments of its `__init__`."""

    name: str

    @classmethod
    def section_of(cls, tree: Any) -> type[StrictModel]:
        """The section of the loss that the mapping names; without a known name, what all have."""
        name = tree.get("name") if isinstance(tree, Mapping) else None
        return LOSSES[name].section_class() if isinstance(name, str) and name in LOSSES else cls


class _NamedLoss(StrictModel):
    """A section of which only the name is looked at."""

    model_config = ConfigDict(extra="ignore")
    name: Annotated[str, _known("loss", LOSSES)]


def _own_section(section: Any) -> Any:
    """Read by the section that belongs to the loss. Its faults become faults of the whole configuration."""
    if isinstance(section, LossSection):
        return section
    name = _NamedLoss.model_validate(section).name
    return LOSSES[name].section_class().model_validate(section)


class ClipLossConfig(LossSection):
    """ClipLoss; `local_loss` and `gather_with_grad` act only with several devices."""

    name: Literal["clip"] = "clip"
    local_loss: bool = True
    gather_with_grad: bool = True


class SpatialLossConfig(LossSection):
    """SpatialLoss; with both weights at 0 it is ClipLoss."""

    name: Literal["spatial"] = "spatial"
    neighbor_alpha_scale: Annotated[float, Field(ge=0, le=100)] = 0.5
    temp_reg_weight: Annotated[float, Field(ge=0, le=100)] = 0.05
    cap_logit_scale: Positive | None = 40.0
    local_loss: bool = True
    gather_with_grad: bool = True


# The section of any loss that the registry knows.
LossConfig = Annotated[SerializeAsAny[LossSection], BeforeValidator(_own_section)]
CHOSEN_BY_NAME = frozenset({"loss"})  # sections whose other keys belong to their name


class OptimizerConfig(StrictModel):
    """AdamW with a cosine schedule after a linear warm-up."""

    lr: Positive = 1e-3
    betas: tuple[Fraction, Fraction] = (0.9, 0.98)
    weight_decay: NonNegative = 0.1
    warmup_fraction: Fraction = 0.1  # share of all steps
    gradient_clip: Positive | None = 1.0  # norm


class TrainerConfig(StrictModel):
    """How long and on what."""

    max_epochs: Count = 20
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: Count = 1
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    threads: Annotated[int, Field(ge=0, le=4096)] = 0  # CPU threads of torch; 0 leaves torch's own choice
    loggers: tuple[Annotated[str, _known("logger", LOGGERS)], ...] = ("csv", "tensorboard")


class Experiment(StrictModel):
    """One training run, from data to test metrics. `seed` is the only source of randomness."""

    name: str = "experiment"
    about: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    data: DataConfig = DataConfig()
    features: FeaturesConfig = FeaturesConfig()
    model: ModelConfig = ModelConfig()
    augment: AugmentConfig = AugmentConfig()
    loss: LossConfig = ClipLossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    trainer: TrainerConfig = TrainerConfig()

    @model_validator(mode="after")
    def _batches_hold_rings(self) -> Experiment:
        if self.data.batching == "neighborhood" and self.data.batch_size <= self.data.num_neighbors:
            raise ValueError(
                f"data.batch_size must be above data.num_neighbors ({self.data.num_neighbors}) with "
                f"batching: neighborhood, got {self.data.batch_size}; raise the batch size or use batching: random"
            )
        return self
