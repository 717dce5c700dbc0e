"""Made-up tissue: where the spots of a slide lie, what each is made of, and which genes are counted there.

One latent state a spot (a cell composition and two continuous programs) decides both what the tile looks like
(`stclip.data.builtin.render`) and the counts drawn here. Nothing else is shared between the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

CELL_TYPES = ("tumour", "lymphocyte", "fibroblast", "muscle", "epithelium", "fat", "necrosis", "vessel")
NUM_STATES = 2  # continuous programs: growth (large dark nuclei) and secretion (pale, bluish background)


@dataclass(frozen=True)
class Technology:
    """How one way of measuring lays out its spots and counts its molecules."""

    name: str
    code: str  # slide ids begin with it
    layout: Literal["hex", "square", "jittered"]
    spots: int  # of a typical slide
    spacing_um: float  # distance of neighbouring spots
    molecules: float  # median total count of a spot


TECHNOLOGIES = (
    Technology("Visium", "VIS", "hex", 85, 100.0, 4000.0),
    Technology("Visium HD", "VHD", "square", 112, 64.0, 2500.0),
    Technology("Spatial Transcriptomics", "STR", "square", 55, 200.0, 3000.0),
    Technology("Xenium", "XEN", "jittered", 72, 80.0, 2000.0),
)


@dataclass(frozen=True)
class Tissue:
    """The spots of a slide: positions (µm) [n, 2], composition [n, types] (rows sum to 1), states [n, 2]."""

    positions: np.ndarray
    composition: np.ndarray
    states: np.ndarray


@dataclass(frozen=True)
class Biology:
    """What all slides share: which cells live together, and what each cell type expresses."""

    domains: np.ndarray  # [domains, types] log abundance of a type in a domain
    profiles: np.ndarray  # [types, genes] expected share of a cell's molecules, rows sum to 1
    # [2 * states, genes] log fold change of a state when it is high, and when it is low.
    state_loadings: np.ndarray
    technology_effects: np.ndarray  # [technologies, genes] log capture efficiency
    rna_content: np.ndarray  # [types] relative number of molecules in a cell


def make_biology(num_genes: int, rng: np.random.Generator) -> Biology:
    """Random gene programs; about a tenth of the genes mark each cell type, the rest are shared."""
    types = len(CELL_TYPES)
    domains = rng.normal(0.0, 1.3, (6, types))
    base = rng.normal(0.0, 1.0, num_genes)
    marks = rng.random((types, num_genes)) < 0.10
    changes = marks * rng.normal(1.9, 0.5, marks.shape) + rng.normal(0.0, 0.25, marks.shape)
    profiles = np.exp(base + changes)
    moved = rng.random((2 * NUM_STATES, num_genes)) < 0.10
    return Biology(
        domains=domains,
        profiles=profiles / profiles.sum(1, keepdims=True),
        state_loadings=moved * rng.normal(0.9, 0.3, moved.shape),
        technology_effects=rng.normal(0.0, 0.35, (len(TECHNOLOGIES), num_genes)),
        rna_content=np.exp(rng.normal(0.0, 0.3, types)),
    )


def make_tissue(technology: Technology, spots: int, biology: Biology, rng: np.random.Generator) -> Tissue:
    """A piece of tissue under a technology's spots: smooth domains, plus variation from spot to spot."""
    positions = _lay_out(technology.layout, spots, rng)
    abundance = rng.normal(0.0, 0.7, biology.domains.shape[1])  # the slide's own mixture of cells
    fields = 1.8 * smooth_fields(positions, len(biology.domains), 3.0, rng)
    domain = softmax(2.0 * fields)
    local = smooth_fields(positions, len(CELL_TYPES), 1.6, rng)
    spot = rng.normal(0.0, 1.0, local.shape)
    composition = softmax(domain @ biology.domains + abundance + 0.5 * local + 0.6 * spot)
    states = 0.6 * smooth_fields(positions, NUM_STATES, 2.5, rng) + 0.8 * rng.normal(size=(spots, NUM_STATES))
    return Tissue(positions * technology.spacing_um, composition, states)


def softmax(x: np.ndarray) -> np.ndarray:
    """Softmax along the last axis."""
    exp = np.exp(x - x.max(-1, keepdims=True))
    return exp / exp.sum(-1, keepdims=True)


def smooth_fields(positions: np.ndarray, fields: int, length: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian random fields with unit variance and a squared-exponential covariance, [n, fields].

    `positions` [n, 2] and `length` are in the same unit. Random Fourier features (Rahimi & Recht 2007).
    """
    waves = 64
    frequency = rng.normal(0.0, 1.0 / length, (fields, waves, 2))
    phase = rng.uniform(0.0, 2.0 * np.pi, (fields, waves))
    angles = np.einsum("nd,fwd->nfw", positions, frequency) + phase
    return np.asarray(np.sqrt(2.0 / waves) * np.cos(angles).sum(-1))


def _lay_out(layout: str, spots: int, rng: np.random.Generator) -> np.ndarray:
    """The `spots` grid positions nearest to the middle of an irregular outline, unit spacing, row by row."""
    side = int(np.ceil(np.sqrt(spots))) + 6
    row, column = np.divmod(np.arange(side * side), side)
    grid = np.stack([column, row], 1).astype(float)
    if layout == "hex":
        grid = np.stack([column + 0.5 * (row % 2), row * np.sqrt(0.75)], 1)
    centred = grid - grid.mean(0)
    stretch = np.exp(rng.uniform(-0.25, 0.25))
    radius = np.hypot(centred[:, 0] * stretch, centred[:, 1] / stretch)
    outline = radius * np.exp(0.25 * smooth_fields(grid, 1, side / 4, rng)[:, 0])
    kept = np.sort(np.argsort(outline, kind="stable")[:spots])
    positions = grid[kept]
    if layout == "jittered":
        positions = positions + rng.uniform(-0.3, 0.3, positions.shape)
    return np.asarray(positions - positions.min(0) + 1.0)


def draw_counts(tissue: Tissue, technology: int, biology: Biology, rng: np.random.Generator) -> np.ndarray:
    """Molecule counts, int64 [n, genes]: negative binomial, with the slide's batch effect and drop-out.

    Each type's share of the molecules wavers about its share of the cells; that part no tile shows.
    """
    spots, genes = len(tissue.composition), biology.profiles.shape[1]
    activity = np.exp(rng.normal(0.0, 1.0, tissue.composition.shape))
    cells = tissue.composition * activity * biology.rna_content
    high_low = np.concatenate([np.maximum(tissue.states, 0), np.maximum(-tissue.states, 0)], 1)
    batch = rng.normal(0.0, 0.35, genes) + biology.technology_effects[technology]
    rate = (cells @ biology.profiles) * np.exp(high_low @ biology.state_loadings + batch)
    library = TECHNOLOGIES[technology].molecules * np.exp(rng.normal(0.0, 0.35, (spots, 1)))
    mean = library * rate / rate.sum(1, keepdims=True)
    shape = 2.0  # variance = mean + mean² / shape
    counts = rng.poisson(rng.gamma(shape, mean / shape))
    kept = rng.random(counts.shape) < 1.0 - 0.35 * np.exp(-mean / 4.0)  # rare molecules are lost more often
    return np.asarray(counts * kept)


def gene_sentences(counts: np.ndarray, length: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Ids of the `length` most counted genes of each spot, most first; ties at random, zeros left out."""
    order = np.lexsort((rng.random(counts.shape), -counts), axis=1)[:, :length]
    return [row[counts[spot, row] > 0] for spot, row in enumerate(order)]
