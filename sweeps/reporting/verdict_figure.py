"""The report's first figure: each family's recall with its interval, and each difference against the margin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sweeps.analysis.verdict import verdict_recall
from sweeps.reporting.figures import GREY, Shown, safe, style_of
from sweeps.reporting.final_table import baseline_title

if TYPE_CHECKING:
    from plotly.graph_objects import Figure, Scatter

Tree = Mapping[str, Any]
ROW = 38  # pixels of a family or a difference
GAP = 80  # between the plots, for the axis of one and the title of the other
MARGIN_COLOUR = "rgba(138, 138, 138, 0.22)"


def verdict_figure(summary: Tree) -> Shown | None:
    """Above the families and baselines on the test slides; below the differences of families, the margin shaded.

    Args:
        summary: summary.json.

    Returns:
        None where no family was read on the test slides.
    """
    from plotly.subplots import make_subplots

    name = verdict_recall(summary)
    families = {f: entry for f, entry in summary["families"].items() if name in entry["test_intervals"]}
    if not families:
        return None
    pairs = [one for one in summary["comparisons"] if one["kind"] == "families"]
    levels = _levels(summary, families, name)
    sizes = [len(levels), len(pairs)] if pairs else [len(levels)]
    titles = [
        f"test {name}, 95 % intervals",
        f"difference of {name}; shaded: less than the margin of {summary['margin']:g}",
    ]
    figure = make_subplots(
        len(sizes),
        1,
        row_heights=sizes,
        subplot_titles=titles[: len(sizes)],
        vertical_spacing=GAP / _height(sizes) if pairs else 0.0,
    )
    for trace in levels:
        figure.add_trace(trace, 1, 1)
    if pairs:
        figure.add_trace(_differences(pairs, name), 2, 1)
        half = summary["margin"]
        figure.add_vrect(
            x0=-half, x1=half, fillcolor=MARGIN_COLOUR, line_width=0, layer="below", row=2, col=1
        )
        figure.add_vline(x=0, line={"color": GREY, "width": 1}, row=2, col=1)
    _lay_out(figure, _height(sizes))
    return Shown("Families and their differences", _words(families, pairs, name), figure)


def _height(sizes: Sequence[int]) -> int:
    """Of the plots, in pixels."""
    return ROW * sum(sizes) + GAP * (len(sizes) - 1)


def _levels(summary: Tree, families: Tree, name: str) -> list[Scatter]:
    """A point a family and a baseline, the first on top."""
    from plotly.graph_objects import Scatter

    traces = []
    for family, entry in families.items():
        colour, symbol = style_of(list(summary["families"]).index(family))
        found = entry["test_intervals"][name]
        traces.append(
            Scatter(
                x=[found["value"]],
                y=[safe(family)],
                error_x=_bars([found]),
                mode="markers",
                marker={"color": colour, "symbol": symbol, "size": 11},
                showlegend=False,
                hovertemplate="%{y}: %{x:.3f}<extra></extra>",
            )
        )
    for baseline, entry in summary["baselines"].items():
        found = (entry.get("test_intervals") or {}).get(name)
        if found:
            traces.append(
                Scatter(
                    x=[found["value"]],
                    y=[safe(baseline_title(baseline))],
                    error_x=_bars([found]),
                    mode="markers",
                    marker={
                        "color": GREY,
                        "symbol": "x-thin",
                        "size": 10,
                        "line": {"width": 2, "color": GREY},
                    },
                    showlegend=False,
                    hovertemplate="%{y}: %{x:.3f}<extra></extra>",
                )
            )
    return traces


def _differences(pairs: Sequence[Tree], name: str) -> Scatter:
    from plotly.graph_objects import Scatter

    found = [{**one["metrics"][name], "value": one["metrics"][name]["difference"]} for one in pairs]
    return Scatter(
        x=[one["value"] for one in found],
        y=[safe(f"{one['a']} − {one['b']}") for one in pairs],
        error_x=_bars(found),
        mode="markers",
        marker={"color": GREY, "size": 10},
        text=[one["outcome"] for one in found],
        showlegend=False,
        hovertemplate="%{y}: %{x:.3f}, %{text}<extra></extra>",
    )


def _bars(found: Sequence[Tree]) -> dict[str, Any]:
    """Plotly's error bars of intervals; none where there is no interval."""
    known = [one["low"] is not None for one in found]
    return {
        "type": "data",
        "symmetric": False,
        "array": [
            one["high"] - one["value"] if there else 0 for one, there in zip(found, known, strict=True)
        ],
        "arrayminus": [
            one["value"] - one["low"] if there else 0 for one, there in zip(found, known, strict=True)
        ],
        "thickness": 2,
    }


def _lay_out(figure: Figure, height: int) -> None:
    figure.update_layout(height=height + 80, margin={"l": 10, "r": 10, "t": 40, "b": 40})
    # Half a row of room on either side, for the first and the last one.
    for axis in figure.select_yaxes():
        names = list(
            dict.fromkeys(y for trace in figure.data if _axis(trace) == axis.plotly_name for y in trace.y)
        )
        axis.update(categoryorder="array", categoryarray=names, range=[len(names) - 0.5, -0.5])
    figure.update_annotations(font={"size": 13}, x=0, xanchor="left")


def _axis(trace: Scatter) -> str:
    """`yaxis2` of a trace whose `yaxis` is y2."""
    return f"yaxis{(trace.yaxis or 'y').removeprefix('y')}"


def _words(families: Tree, pairs: Sequence[Tree], name: str) -> str:
    """The figure for those who do not see it."""
    levels = ", ".join(f"{f} {entry['test_intervals'][name]['value']:.3f}" for f, entry in families.items())
    outcomes = "; ".join(f"{one['a']} against {one['b']}: {one['metrics'][name]['outcome']}" for one in pairs)
    return f"Test {name} with 95 % intervals: {levels}." + (f" {outcomes}." if outcomes else "")
