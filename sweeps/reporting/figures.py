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

from sweeps.reporting.final_table import baseline_title
from sweeps.results.slide_rows import SlideRow
from sweeps.text import RECALLS, many, printable

if TYPE_CHECKING:
    from plotly.graph_objects import Figure, Scatter

COLOURS = ("#3b82c4", "#e07b39", "#2a9d8f", "#c05aa0", "#9a8f2a", "#7a6fd0")  # seen on white and on black
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "star")  # for print without colour
GREY = "#8a8a8a"
ROW = 34  # pixels of a slide


@dataclass(frozen=True)
class Shown:
    """A figure and what it says to those who do not see it."""

    title: str
    alt: str
    figure: Figure
    wide: bool = False  # in a grid of figures: a row of its own


def safe(text: Any) -> str:
    """Text that plotly shows as it is."""
    return html.escape(printable(str(text)), quote=False)


def slides_figure(rows: Sequence[SlideRow], families: Sequence[str], recall: str) -> Shown | None:
    """Test recall by slide: a dot a training seed, families beside each other, the CCA baseline and the chance level.

    Args:
        rows: test_slides.csv. families: their order, which gives them their colours. recall: what is shown first, of RECALLS.
    """
    from plotly.graph_objects import Figure

    tested = [row for row in rows if row.kind == "family"]
    slides = list(dict.fromkeys(row.slide for row in tested))
    if not slides:
        return None
    place = {slide: number for number, slide in enumerate(reversed(slides))}
    groups = [
        _family_dots([r for r in tested if r.who == who], place, families, who, recall) for who in families
    ]
    cca = [row for row in rows if (row.kind, row.who) == ("baseline", "cca") and row.slide in place]
    groups.append(_marks(baseline_title("cca"), cca, place, recall, "", "x-thin"))
    groups.append(
        _marks("chance", list({r.slide: r for r in tested}.values()), place, recall, "chance_", "line-ns")
    )
    figure = Figure([trace for trace, _ in groups])
    figure.update_layout(
        **_slides_layout(place, {row.slide: row.donor for row in tested}, [x for _, x in groups], recall)
    )
    who = ", ".join(families)
    alt = f"Test {recall} of {who} on {many(len(slides), 'slide')}: a dot a slide and seed, beside the CCA baseline and chance."
    return Shown("Test R@K by slide", alt, figure)


def _family_dots(
    own: Sequence[SlideRow], place: Mapping[str, int], families: Sequence[str], who: str, recall: str
) -> tuple[Scatter, list[list[float]]]:
    """The dots, and their places along the axis for each of RECALLS."""
    from plotly.graph_objects import Scatter

    number = families.index(who)
    colour, symbol = style_of(number)
    shift = 0.5 * ((number + 0.5) / len(families) - 0.5)  # of the half of a slide's row that dots may take
    dots = Scatter(
        x=[row.metrics[recall] for row in own],
        y=[place[row.slide] - shift for row in own],
        name=safe(who),
        mode="markers",
        marker={"color": colour, "symbol": symbol, "size": 8, "opacity": 0.75},
        text=[safe(f"{row.slide}, {row.name}, seed {row.seed}") for row in own],
        hovertemplate="%{text}: %{x:.3f}<extra></extra>",
    )
    return dots, [[row.metrics[name] for row in own] for name in RECALLS]


def _marks(
    title: str, own: Sequence[SlideRow], place: Mapping[str, int], recall: str, prefix: str, symbol: str
) -> tuple[Scatter, list[list[float]]]:
    """What the families are held against, a grey mark a slide; `prefix`: of the metric's name."""
    from plotly.graph_objects import Scatter

    marks = Scatter(
        x=[row.metrics[f"{prefix}{recall}"] for row in own],
        y=[place[row.slide] for row in own],
        name=title,
        mode="markers",
        marker={"symbol": symbol, "size": 12, "line": {"width": 2, "color": GREY}},
        text=[safe(row.slide) for row in own],
        hovertemplate=f"{title}, %{{text}}: %{{x:.3f}}<extra></extra>",
    )
    return marks, [[row.metrics[f"{prefix}{name}"] for row in own] for name in RECALLS]


def _slides_layout(
    place: Mapping[str, int],
    donors: Mapping[str, str],
    levels: Sequence[Sequence[Sequence[float]]],
    recall: str,
) -> dict[str, Any]:
    """A row a slide, and a button a recall that moves the dots; `levels`: for each trace what `_family_dots` gives."""
    height = ROW * len(place)
    buttons = [
        {"label": name, "method": "update", "args": [{"x": [one[k] for one in levels]}, {"xaxis.title.text": f"test {name}"}]}
        for k, name in enumerate(RECALLS)
    ]  # fmt: skip
    labels = [safe(f"{slide} ({donors[slide]})" if donors[slide] else slide) for slide in place]
    return {
        "height": height + 180,
        "margin": {"l": 10, "r": 10, "t": 60, "b": 85},
        "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom"},
        "xaxis": {"title": f"test {recall}", "rangemode": "tozero"},
        "yaxis": {"tickvals": list(place.values()), "ticktext": labels, "range": [-0.6, len(place) - 0.4]},
        "updatemenus": [{"type": "buttons", "direction": "right", "x": 0, "y": 1, "xanchor": "left", "yanchor": "bottom",
                         "active": RECALLS.index(recall), "buttons": buttons, "pad": {"b": 8},
                         "font": {"color": "#1d2329"}, "bgcolor": "#f5f7f9"}],
    }  # fmt: skip


def style_of(number: int) -> tuple[str, str]:
    """Colour and symbol of the family with this place in the sweep's order."""
    return COLOURS[number % len(COLOURS)], SYMBOLS[number % len(SYMBOLS)]


def best_of_n_figure(families: Mapping[str, Any], metric: str) -> Shown | None:
    """The expected best value against the number of trials, with pointwise 95 % intervals."""
    from plotly.graph_objects import Figure, Scatter

    figure = Figure()
    for number, (family, entry) in enumerate(families.items()):
        curve = entry.get("best_of_n")
        if curve is None:
            continue
        (colour, _), group, n = style_of(number), safe(family), list(curve["n"])
        figure.add_trace(Scatter(
            x=n + n[::-1], y=[*curve["low"], *curve["high"][::-1]], fill="toself", fillcolor=colour, opacity=0.18,
            line={"width": 0}, legendgroup=group, showlegend=False, hoverinfo="skip", mode="lines",
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
    """A test slide with every spot in the colour of its true partner's rank, from tiles to genes; `one`: of `maps` in
    retrieval.json (see `sweeps.analysis.retrieval_examples`)."""
    from plotly.graph_objects import Figure, Scatter

    ranks = one["image_to_gene"]
    ticks = [tick for tick in (1, 3, 10, 30, 100, 300, 1000, 3000, 10000) if tick <= max(ranks)]
    both = list(zip(ranks, one["gene_to_image"], strict=True))
    figure = Figure(Scatter(
        x=one["x"], y=one["y"], mode="markers", customdata=both,
        hovertemplate=f"rank %{{customdata[0]}} of {len(ranks)} from tile to genes, %{{customdata[1]}} back<extra></extra>",
        marker={"color": _logs(ranks), "colorscale": "Viridis", "reversescale": True, "cmin": 0,
                "size": min(8.0, max(2.0, 200 / math.sqrt(len(ranks)))),  # pixels: neighbours hardly touch
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
    spots = many(len(ranks), "spot")
    alt = f"Map of slide {name}: {spots} by the rank of the true partner; {first:.0%} are among the first 10."
    return Shown(printable(name), alt, figure)


def _logs(values: Sequence[float]) -> list[float]:
    return [round(math.log10(value), 4) for value in values]
