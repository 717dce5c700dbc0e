"""Recall@K: how well the tile of a spot finds its genes, and the genes their tile, among all spots of a slide.

Imports `stclip.errors` only. In come features [N, D] and slide ids; out go recall, chance level and ranks, a slide at a
time.
"""

from stclip.retrieval.gallery import (
    RecallAtK,
    SlideRecall,
    chance_recall,
    gallery_recall,
    mean_over_slides,
    partner_ranks,
    slide_metrics,
    slide_recall,
)

__all__ = [
    "RecallAtK",
    "SlideRecall",
    "chance_recall",
    "gallery_recall",
    "mean_over_slides",
    "partner_ranks",
    "slide_metrics",
    "slide_recall",
]
