"""Plotly figures of a report, from summary.json, test_slides.csv and retrieval.json; nothing here reads a file.

Every figure goes by a title, words that say what it shows, and its own `layout` without colours of paper or text, which
the page gives it (light or dark). Names that come from data are escaped, since plotly reads a little HTML.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sweeps.slide_table import SlideRow
from sweeps.table import baseline_title
from sweeps.words import RECALLS, printable

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

COLOURS = ("#3b82c4", "#e07b39", "#2a9d8f", "#c05aa0", "#9a8f2a", "#7a6fd0")  # seen on white and on black
SYMBOLS = (
    "circle",
    "diamond",
    "square",
    "triangle-up",
    "cross",
    "star",
)  # the same families, in print without colour
GREY = "#8a8a8a"
ROW = 34  # pixels of a slide


@dataclass(frozen=True)
class Shown:
    """A figure and what it says to those who do not see it."""

    title: str
    alt: str
    figure: Figure


def safe(text: Any) -> str:
    """Text that plotly shows as it is."""
    return html.escape(printable(str(text)), quote=False)


def slides_figure(rows: Sequence[SlideRow], families: Sequence[str]) -> Shown | None:
    """Test recall by slide: a dot a training seed, families beside each other, the baselines and the chance level."""
    from plotly.graph_objects import Figure, Scatter

    slides = list(dict.fromkeys(row.slide for row in rows if row.kind == "family"))
    if not slides:
        return None
    place = {slide: number for number, slide in enumerate(reversed(slides))}
    donors = {row.slide: row.donor for row in rows}
    figure, levels = Figure(), []
    for number, who in enumerate(families):
        own = [row for row in rows if (row.kind, row.who) == ("family", who)]
        shift = 0.5 * ((number + 0.5) / len(families) - 0.5)
        figure.add_trace(Scatter(
            x=[row.metrics["R@10"] for row in own], y=[place[row.slide] - shift for row in own], name=safe(who), mode="markers",
            marker={"color": COLOURS[number % 6], "symbol": SYMBOLS[number % 6], "size": 8, "opacity": 0.75},
            text=[safe(f"{row.slide}, {row.name}, seed {row.seed}") for row in own],
            hovertemplate="%{text}: %{x:.3f}<extra></extra>",
        ))  # fmt: skip
        levels.append([[row.metrics[name] for row in own] for name in RECALLS])
    cca = [row for row in rows if (row.kind, row.who) == ("baseline", "cca") and row.slide in place]
    chance = list({row.slide: row for row in rows if row.slide in place}.values())
    for title, own, prefix, symbol in (
        (baseline_title("cca"), cca, "", "x-thin"),
        ("chance", chance, "chance_", "line-ns"),
    ):
        figure.add_trace(Scatter(
            x=[row.metrics[f"{prefix}R@10"] for row in own], y=[place[row.slide] for row in own], name=title, mode="markers",
            marker={"symbol": symbol, "size": 14 if prefix else 9, "line": {"width": 2, "color": GREY}},
            text=[safe(row.slide) for row in own], hovertemplate=f"{title}, %{{text}}: %{{x:.3f}}<extra></extra>",
        ))  # fmt: skip
        levels.append([[row.metrics[f"{prefix}{name}"] for row in own] for name in RECALLS])
    buttons = [
        {"label": name, "method": "update", "args": [{"x": [one[k] for one in levels]}, {"xaxis.title.text": f"test {name}"}]}
        for k, name in enumerate(RECALLS)
    ]  # fmt: skip
    labels = [safe(f"{slide} ({donors[slide]})" if donors.get(slide) else slide) for slide in place]
    figure.update_layout(
        height=170 + ROW * len(slides), margin={"l": 10, "r": 10, "t": 60, "b": 50},
        legend={"orientation": "h", "y": -75 / (ROW * len(slides)), "yanchor": "top"},
        xaxis={"title": "test R@10", "rangemode": "tozero"},
        yaxis={"tickvals": list(place.values()), "ticktext": labels, "automargin": True, "range": [-0.6, len(slides) - 0.4]},
        updatemenus=[{"type": "buttons", "direction": "right", "x": 0, "y": 1, "xanchor": "left", "yanchor": "bottom",
                      "active": 2, "buttons": buttons, "pad": {"b": 8},
                      "font": {"color": "#1d2329"}, "bgcolor": "#f5f7f9"}],
    )  # fmt: skip
    who = ", ".join(families)
    alt = f"Test R@10 of {who} on {len(slides)} slides: a dot a slide and seed, beside the CCA baseline and chance."
    return Shown("Test R@K by slide", alt, figure)


def best_of_n_figure(families: Mapping[str, Any], metric: str) -> Shown | None:
    """The expected best value against the number of trials, with pointwise 95 % intervals."""
    from plotly.graph_objects import Figure, Scatter

    figure = Figure()
    for number, (family, entry) in enumerate(families.items()):
        curve = entry.get("best_of_n")
        if curve is None:
            continue
        colour, group = COLOURS[number % 6], safe(family)
        n = list(curve["n"])
        figure.add_trace(Scatter(
            x=n + n[::-1], y=[*curve["low"], *curve["high"][::-1]], fill="toself", fillcolor=colour, opacity=0.18,
            line={"width": 0},
            legendgroup=group, showlegend=False, hoverinfo="skip", mode="lines",
        ))  # fmt: skip
        figure.add_trace(
            Scatter(
                x=n, y=curve["value"], name=group, legendgroup=group, mode="lines", line={"color": colour}
            )
        )
    if not figure.data:
        return None
    figure.update_layout(
        height=380, margin={"l": 10, "r": 10, "t": 20, "b": 50}, legend={"orientation": "h", "y": -0.25},
        xaxis={"title": "trials"}, yaxis={"title": f"expected best {safe(metric)}", "automargin": True},
    )  # fmt: skip
    who = ", ".join(families)
    alt = f"The expected best {metric} against the number of trials for {who}, with bands of 95 % intervals."
    return Shown("Best of n trials", alt, figure)


def map_figure(one: Mapping[str, Any]) -> Shown:
    """A test slide with every spot in the colour of its true partner's rank, from tiles to genes."""
    from plotly.graph_objects import Figure, Scatter

    ranks = one["image_to_gene"]
    ticks = [tick for tick in (1, 3, 10, 30, 100, 300, 1000, 3000, 10000) if tick <= max(ranks)]
    hover = [
        f"rank {tile:g} of {len(ranks)} from tile to genes, {genes:g} back"
        for tile, genes in zip(ranks, one["gene_to_image"], strict=True)
    ]
    figure = Figure(Scatter(
        x=one["x"], y=one["y"], mode="markers", text=hover, hovertemplate="%{text}<extra></extra>",
        marker={"color": _logs(ranks), "colorscale": "Viridis", "reversescale": True, "cmin": 0, "size": 7,
                "colorbar": {"title": "rank", "thickness": 10, "tickvals": _logs(ticks), "ticktext": [str(t) for t in ticks]}},
    ))  # fmt: skip
    figure.update_layout(
        height=320,
        margin={"l": 5, "r": 5, "t": 10, "b": 10},
        xaxis={"visible": False},
        yaxis={"visible": False, "autorange": "reversed", "scaleanchor": "x"},
    )
    name = f"{one['slide']} (donor {one['donor']})" if one.get("donor") else str(one["slide"])
    first = sum(rank <= 10 for rank in ranks) / len(ranks)
    alt = f"Map of slide {name}: {len(ranks)} spots by the rank of their true partner; {first:.0%} are among the first 10."
    return Shown(printable(name), alt, figure)


def _logs(values: Sequence[float]) -> list[float]:
    return [round(math.log10(value), 4) for value in values]
