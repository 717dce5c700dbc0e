"""Plotly figures of a report from study.db: what each family's search tried, by Optuna's own plots, and learning curves."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import count, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.reporting.figures import COLOURS, GREY, Shown, safe
from sweeps.results.study_file import refuse_foreign_journal, study_url
from sweeps.search.lanes import lane_name
from sweeps.text import many

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial
    from plotly.graph_objects import Figure

# Optuna's importances (PED-ANOVA, Watanabe et al. 2023) compare the values that a parameter has in the best trials with those
# in all. Optuna advises five best trials or more; of twenty they are the best quarter. Simulated (300 studies each, points at
# random, one parameter explains half of the variance, the others nothing): that one came first in 86 % with 3 parameters and
# 20 trials, in 90 % with 9 and 36; with 10 trials in 63 % and 37 %. With Optuna's default, the best tenth, in 62 % and 69 %.
BEST_SHARE = 0.25
MIN_COMPLETE, MIN_COMPLETE_EACH = 20, 4  # complete trials in all, and for each parameter

SCALE = [COLOURS[1], COLOURS[0]]  # of what Optuna draws on white only

_TAGS = re.compile(r"<(?!/?(?:br|b|i|extra)>)")  # those that plotly and Optuna write themselves are kept


def open_studies(path: Path, families: Sequence[str]) -> dict[str, Study]:
    """Family -> its study in an SQLite file, which is only read. Those that are not there are left out.

    A family with several independent searches has a study of each; here it gets one, in memory, with the trials of all.

    Raises OptunaError or SQLAlchemyError for a file that holds no studies, InputError for a journal that is not its own.
    """
    import optuna
    from optuna.storages import RDBStorage

    refuse_foreign_journal(path)
    # Else it tells on the terminal of each study made in memory.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = RDBStorage(study_url(path), skip_compatibility_check=True, skip_table_creation=True)
    known = {one.study_name for one in optuna.get_all_study_summaries(storage, include_best_trial=False)}
    own = {family: _own_studies(family, known) for family in families}
    opened = {
        family: [optuna.load_study(study_name=name, storage=storage) for name in names]
        for family, names in own.items()
    }
    return {family: _joined(studies) for family, studies in opened.items() if studies}


def _own_studies(family: str, known: Collection[str]) -> list[str]:
    """The studies of a family's searches, the first one first. Their numbers have no gap: each search begins with the sweep."""
    return list(takewhile(known.__contains__, (lane_name(family, search) for search in count(1))))


def _joined(studies: Sequence[Study]) -> Study:
    """One study with the trials of all; a single study is itself."""
    import optuna

    if len(studies) == 1:
        return studies[0]
    joined = optuna.create_study(direction=studies[0].direction)
    joined.add_trials(trial for study in studies for trial in study.get_trials(deepcopy=False))
    return joined


def study_figures(family: str, study: Study, metric: str) -> list[Shown | str]:
    """Learning curves, importances, parallel coordinates and a slice for each parameter; a sentence for what cannot be drawn.

    Args:
        family: its name, for titles. study: its search. metric: what the search went by, such as `val/R@10`.
    """

    trials = study.get_trials(deepcopy=False)
    curves = _learning_curves(family, trials, metric)
    complete = sum(trial.state.name == "COMPLETE" for trial in trials)
    parameters = sorted({name for trial in trials for name in trial.params})
    found: list[Shown | str] = [curves or f"{family}: no trial reported a value."]
    if complete < 2:
        return [
            *found,
            f"{family}: with {many(complete, 'complete trial')} there is nothing to compare the parameters by.",
        ]
    if len(parameters) > 1:
        found.append(_importances(family, study, metric, complete, len(parameters)))
        coordinates = partial(_coordinates, study, metric, parameters)
        words = f"A line for each complete trial of {family} through its parameters' values, in the colour of its {metric}."
        found.append(_optuna(f"{family}: parallel coordinates", words, coordinates, wide=True))
    names = {trial.number: _name(trial) for trial in trials}
    for name in parameters:
        plot = partial(_slice, study, metric, name, names)
        words = f"{metric} of each complete trial of {family} against {name}."
        found.append(_optuna(f"{family}: {name}", words, plot))
    return found


def _importances(family: str, study: Study, metric: str, complete: int, parameters: int) -> Shown | str:
    """Optuna's importances, or why so few trials give none."""
    from optuna import visualization
    from optuna.importance import PedAnovaImportanceEvaluator

    title = f"{family}: importance of the parameters"
    needed = max(MIN_COMPLETE, MIN_COMPLETE_EACH * parameters)
    if complete < needed:
        return (
            f"{title}: left out, since {many(complete, 'complete trial')} cannot tell {parameters} parameters apart "
            f"(from {needed} on it is drawn: {MIN_COMPLETE}, or {MIN_COMPLETE_EACH} for each parameter)."
        )
    words = (
        f"How much each parameter's values in the best quarter of {family}'s complete trials by {metric} differ from those in "
        "all of them, by PED-ANOVA; the shares add up to 1."
    )
    evaluator = PedAnovaImportanceEvaluator(target_quantile=BEST_SHARE)
    return _optuna(title, words, partial(visualization.plot_param_importances, study, evaluator=evaluator))


def _name(trial: FrozenTrial) -> str:
    """As it is called in tables and folders."""
    return str(trial.user_attrs.get("name", trial.number))


def _coordinates(study: Study, metric: str, parameters: Sequence[str]) -> Figure:
    """Optuna's parallel coordinates in colours that are seen on white and on black; a line names its trial.

    Optuna cuts names after 20 characters, and its colours and letters are for white paper.
    """
    from optuna import visualization
    from plotly.colors import sample_colorscale

    figure = visualization.plot_parallel_coordinate(study, target_name=metric)
    complete = [one for one in study.get_trials(deepcopy=False) if one.state.name == "COMPLETE"]
    found = [
        (_name(one), one.value) for one in complete if one.value is not None and math.isfinite(one.value)
    ]
    low, high = min(value for _, value in found), max(value for _, value in found)
    labels = [metric, *parameters]
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    for line, (name, value) in zip(lines, found, strict=True):
        share = (value - low) / (high - low) if high > low else 1.0
        line.customdata = [[label, cell[1]] for label, cell in zip(labels, line.customdata, strict=True)]
        line.update(
            line={"color": sample_colorscale(SCALE, [share])[0], "width": 1.5},
            opacity=0.9,
            hovertemplate=f"{name}: %{{customdata[0]}} %{{customdata[1]}}<extra></extra>",
        )
    figure.update_traces(selector={"mode": "markers"}, marker={"colorscale": SCALE, "reversescale": False})
    figure.update_xaxes(ticktext=labels)
    for note in figure.layout.annotations:
        note.font.color = None  # the page's
    return figure


def _slice(study: Study, metric: str, parameter: str, names: Mapping[int, str]) -> Figure:
    """Optuna's slice of one parameter; a point names its trial. `names`: of the trials, by number."""
    from optuna import visualization

    figure = visualization.plot_slice(study, [parameter], target_name=metric)
    for points in figure.data:
        numbers = points.marker.color
        if isinstance(numbers, list | tuple):  # which Optuna colours the points by
            points.marker.update(colorscale=SCALE, size=8)
            points.update(
                text=[names[number] for number in numbers],
                hovertemplate=f"%{{text}}: {parameter} %{{x}}, {metric} %{{y:.3f}}<extra></extra>",
            )
    return figure


def _optuna(title: str, alt: str, plot: Callable[[], Figure], wide: bool = False) -> Shown | str:
    """One of Optuna's plots, without its own title, width and colours of paper."""
    from plotly.graph_objects import Figure

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a plot that is experimental, or leaves out pruned trials
            drawn = plot()
    except (
        Exception
    ) as error:  # of whatever kind: the report does without one plot, not the sweep without a report
        return f"{title}: Optuna cannot draw it ({' '.join(str(error).split())[:200]})."
    figure = Figure(_escaped(drawn.to_plotly_json()))
    margin = {"l": 40, "r": 40, "t": 40, "b": 80}
    figure.update_layout(title=None, template=None, width=None, height=340, margin=margin)
    return Shown(title, alt, figure, wide)


def _learning_curves(family: str, trials: Sequence[Any], metric: str) -> Shown | None:
    """A line a trial; those that were not trained to their end are pale."""
    from plotly.graph_objects import Figure, Scatter

    figure = Figure()
    for state, colour, opacity in (
        ("PRUNED", GREY, 0.35),
        ("FAIL", GREY, 0.35),
        ("COMPLETE", COLOURS[0], 0.8),
    ):
        first = True
        for trial in trials:
            if trial.state.name != state or not trial.intermediate_values:
                continue
            steps = sorted(trial.intermediate_values)
            name = safe(_name(trial))
            figure.add_trace(Scatter(
                x=steps, y=[trial.intermediate_values[step] for step in steps], mode="lines+markers", opacity=opacity,
                line={"color": colour, "width": 1.5}, marker={"size": 4}, name=state.lower(), legendgroup=state, showlegend=first,
                hovertemplate=f"{name}, epoch %{{x}}: %{{y:.3f}}<extra></extra>",
            ))  # fmt: skip
            first = False
    if not figure.data:
        return None
    figure.update_layout(
        height=340, margin={"l": 10, "r": 10, "t": 20, "b": 50}, legend={"orientation": "h", "y": -0.25},
        xaxis={"title": "epoch"}, yaxis={"title": safe(metric), "automargin": True},
    )  # fmt: skip
    title = f"{family}: learning curves"
    return Shown(
        title,
        f"{metric} of each trial of {family} by epoch; trials that were stopped early are pale.",
        figure,
    )


def _escaped(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _escaped(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_escaped(value) for value in tree]
    if hasattr(tree, "to_plotly_json"):
        return _escaped(tree.to_plotly_json())
    return _TAGS.sub("&lt;", tree) if isinstance(tree, str) else tree
