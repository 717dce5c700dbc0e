"""The typed configuration of one training run, every default of it, and the registry of names that it may use.

Imports `stclip.files` and no torch: bad input is refused before anything heavy is loaded. In comes YAML, with
overrides; out goes an `Experiment`. The sections are importable from here, the loader from `stclip.config.load`.
"""

from stclip.config.schema import (
    AugmentConfig,
    ClipLossConfig,
    Count,
    DataConfig,
    Experiment,
    FeaturesConfig,
    Fraction,
    GeneTowerConfig,
    ImageTowerConfig,
    LossConfig,
    LossSection,
    ModelConfig,
    NonNegative,
    OptimizerConfig,
    Positive,
    SpatialLossConfig,
    StrictModel,
    TrainerConfig,
)

__all__ = [
    "AugmentConfig",
    "ClipLossConfig",
    "Count",
    "DataConfig",
    "Experiment",
    "FeaturesConfig",
    "Fraction",
    "GeneTowerConfig",
    "ImageTowerConfig",
    "LossConfig",
    "LossSection",
    "ModelConfig",
    "NonNegative",
    "OptimizerConfig",
    "Positive",
    "SpatialLossConfig",
    "StrictModel",
    "TrainerConfig",
]
