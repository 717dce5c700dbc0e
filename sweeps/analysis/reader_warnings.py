"""What a reader of a sweep's numbers should be warned about, found from the results folder's files alone."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from stclip.config.registry import LOSSES
from sweeps.text import many, value_text

MIN_COVERAGE = 0.05  # mean neighbour weight in a batch below which a loss that reads neighbours is nearly one that does not
MIN_GALLERY = 30  # spots
MIN_TRIALS = 4
EDGE = 0.02  # share of a range, at either end

Row = Mapping[str, str]
Tree = Mapping[str, Any]


def find_warnings(sweep: Tree, rows: Sequence[Row], summary: Tree) -> list[str]:
    """One sentence for each thing that weakens a sweep's numbers: what, how much, and what to do.

    Args:
        sweep: sweep.yaml. rows: trials.csv. summary: summary.json. Keys that are missing are not judged.
    """
    families = (sweep.get("space") or {}).get("families") or {}
    found = [
        _few_neighbours(rows, families),
        *_unequal_effort(summary),
        *_few_trials(summary),
        *_edges(summary, families),
        *_spread_of_seeds(rows, summary),
        *_lost_seeds(summary),
        _shared_donors(sweep),
        _small_gallery(sweep, summary),
        _skipped_spots(sweep),
    ]
    return [text for text in found if text]


def _few_neighbours(rows: Sequence[Row], families: Tree) -> str | None:
    """Trials whose loss reads neighbours, of which its batches held next to none."""
    losses = {name: ((family or {}).get("loss") or {}).get("name", name) for name, family in families.items()}
    covered = [
        (row.get("name", ""), coverage)
        for row in rows
        if _reads_neighbors(losses.get(row["family"], row["family"]))
        and (coverage := _float(row.get("train/neighbor_coverage"))) is not None
    ]
    low = [(name, coverage) for name, coverage in covered if coverage < MIN_COVERAGE]
    if not low:
        return None
    return (
        f"Neighbour coverage was below {MIN_COVERAGE} in {len(low)} of {many(len(covered), 'trial')} "
        f"whose loss reads neighbours (lowest {min(coverage for _, coverage in low):.4f}, first {low[0][0]}): "
        "the neighbour term had nothing to act on; try data.batching: neighborhood."
    )


def _reads_neighbors(loss: object) -> bool:
    """Of a loss that this version does not know nothing is said."""
    entry = LOSSES.get(str(loss))
    return entry is not None and entry.reads_neighbors


def _unequal_effort(summary: Tree) -> list[str]:
    """Families that were not given the same number of trials: one that tried more had more luck to choose from."""
    ended = {
        family: sum(entry["trials"][state] for state in ("complete", "pruned", "failed"))
        for family, entry in summary["families"].items()
    }
    if len(set(ended.values())) < 2:
        return []
    counts = ", ".join(f"{family} {count}" for family, count in ended.items())
    return [f"The families did not have the same number of trials ({counts}); go on with --resume."]


def _spread_of_seeds(rows: Sequence[Row], summary: Tree) -> list[str]:
    """Families whose complete trials spread no more than the seeds of one configuration may.

    By an F test at 5 % of the variance among complete trials against that among the confirmation's seeds. A test that does
    not reject shows no equality, so the sentence gives the two numbers and claims none.
    """
    from scipy.stats import f as f_distribution

    metric = str(summary["metric"])
    found = []
    for family, entry in summary["families"].items():
        confirm = entry.get("confirm") or {}
        noise, seeds = (confirm.get("val_sd") or {}).get(metric.removeprefix("val/")), confirm.get("seeds", 0)
        own = [r for r in rows if r["family"] == family and r["state"] == "COMPLETE"]
        values = [value for r in own if (value := _float(r.get(metric))) is not None]
        if not noise or len(values) < MIN_TRIALS:
            continue
        spread = statistics.stdev(values)
        limit = float(f_distribution.ppf(0.95, len(values) - 1, seeds - 1))
        if (spread / noise) ** 2 <= limit:
            found.append(
                f"{metric} has a standard deviation of {spread:.3f} among the {len(values)} complete trials of {family}, and of "
                f"{noise:.3f} among {seeds} seeds of its winner: seeds alone can spread so much (F test, 5 %). Which trial won "
                "may be luck, so read little into its parameters; that the settings are equally good is not shown."
            )
    return found


def _lost_seeds(summary: Tree) -> list[str]:
    """Confirmations that have fewer trainings than was asked for."""
    seeds = (summary.get("confirmation") or {}).get("seeds")
    found = []
    for family, entry in summary["families"].items():
        confirm = entry.get("confirm")
        if not seeds or confirm is None:
            continue
        done = sum(one["seeds"] for one in confirm["configurations"])
        planned = seeds * len(confirm["configurations"])
        if done < planned:
            text = f"The confirmation of {family} has {done} of {planned} trainings"
            reasons = "; ".join(f"{one['name']}: {one['reason']}" for one in confirm["failed"])
            found.append(f"{text} ({reasons})." if reasons else f"{text}; go on with --resume.")
    return found


def _shared_donors(sweep: Tree) -> str | None:
    """Test slides whose donor also gave a training slide: the model has seen the patient."""
    donors = (sweep.get("data") or {}).get("donors") or {}
    trained = set((donors.get("train") or {}).values())
    shared = [f"{slide} ({donor})" for slide, donor in (donors.get("test") or {}).items() if donor in trained]
    if not shared:
        return None
    total = many(len(donors["test"]), "test slide")
    are = "is" if total == "1 test slide" else "are"
    return (
        f"{len(shared)} of {total} {are} of donors that also gave a training slide ({', '.join(shared[:5])}"
        f"{', ...' if len(shared) > 5 else ''}): the numbers say little about new donors; split by donor."
    )


def _few_trials(summary: Tree) -> list[str]:
    """Winners that had few complete trials to win against, and those of a search of which half or more failed.

    Many pruned trials are no fault: each was compared before it was stopped. A failed one was not.
    """
    found = []
    for family, entry in summary["families"].items():
        complete, pruned, failed = (entry["trials"][state] for state in ("complete", "pruned", "failed"))
        ended = complete + pruned + failed
        others = " and ".join(
            f"{count} {state}" for state, count in (("pruned", pruned), ("failed", failed)) if count
        )
        text = f"The winner of {family} was chosen among {many(complete, 'complete trial')}"
        text += f" of {ended} ({others})" if others else ""
        if entry["best"] and complete < MIN_TRIALS:
            found.append(
                f"{text}, fewer than {MIN_TRIALS}: better settings are easily missed; raise --trials."
            )
        elif entry["best"] and 2 * failed >= ended:
            found.append(f"{text}: what the failed ones would have given is not known; see Failures.")
    return found


def _edges(summary: Tree, families: Tree) -> list[str]:
    found: list[str] = []
    for family, entry in summary["families"].items():
        parameters = (families.get(family) or {}).get("parameters") or {}
        for key, value in (entry["best"] or {}).get("params", {}).items():
            side = edge_of(value, parameters.get(key) or {})
            if side:
                found.append(_edge_sentence(family, key, value, side, parameters[key]))
    return found


def _edge_sentence(family: str, key: str, value: Any, side: str, parameter: Tree) -> str:
    where = f"The best {key} of {family}, {value_text(value)}, is at the {side} end of its range"
    span = f"({value_text(parameter['low'])} to {value_text(parameter['high'])})"
    if side == "lower" and parameter["low"] == 0:
        return f"{where} {span}: 0 switches it off, and the search preferred that."
    return f"{where} {span}: a better value may lie outside; widen the range."


def edge_of(value: Any, parameter: Tree) -> str | None:
    """`lower` or `upper` when a value lies within 2 % of its range's end (in the logarithm with `log`)."""
    low, high = parameter.get("low"), parameter.get("high")
    if low is None or high is None or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if parameter.get("log"):
        low, high, value = math.log(low), math.log(high), math.log(value)
    share = (value - low) / (high - low)
    return "lower" if share <= EDGE else "upper" if share >= 1 - EDGE else None


def _small_gallery(sweep: Tree, summary: Tree) -> str | None:
    sizes = {
        split: size for split in ("val", "test") if (size := _gallery(split, sweep, summary)) is not None
    }
    small = " and ".join(f"{size:.0f} spots ({split})" for split, size in sizes.items() if size < MIN_GALLERY)
    if not small:
        return None
    return (
        f"The smallest gallery has {small}, under {MIN_GALLERY}: guessing alone scores high; read the lift."
    )


def _skipped_spots(sweep: Tree) -> str | None:
    skipped = (sweep.get("data") or {}).get("skipped_spots") or {}
    if not skipped:
        return None
    slides = ", ".join(f"{slide}: {count}" for slide, count in skipped.items())
    return f"Broken spots were left out (data.on_bad_spot: skip), {sum(skipped.values())} in all ({slides})."


def _gallery(split: str, sweep: Tree, summary: Tree) -> float | None:
    """Spots of the smallest slide; where sweep.yaml does not say, what the chance level 1/N comes to."""
    data = (sweep.get("data") or {}).get(split)
    if isinstance(data, Mapping) and data.get("smallest_gallery"):
        return float(data["smallest_gallery"])
    entries = [e["best"] for e in summary["families"].values() if e["best"]]
    entries += summary["baselines"].values()
    levels = [c for e in entries if (c := (e.get(split) or {}).get("chance_R@1")) is not None and c > 0]
    return 1 / max(levels) if levels else None


def _float(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
