"""What a sweep found, as one mapping: winners, baselines, and a verdict that claims no more than they show.

    {status, metric, mode, seconds, verdict, versions,
     families: {<family>: {trials: {budget, complete, pruned, failed, running}, reason,
                           best: {trial, name, params, epochs, seconds, seed,
                                  val: {R@1: ...}, test: {R@1: ...}} | null}},
     baselines: {<name>: {val: {R@1: ...}, test: {...}}}}

Metrics in it are named without their split (`R@10`, `chance_R@10`), which is the key above them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from sweeps.records import TrialRecord, best_record

Metrics = Mapping[str, float]
STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}


def build_summary(
    records: Sequence[TrialRecord],
    budgets: Mapping[str, int],
    metric: str,
    mode: Literal["max", "min"],
    tests: Mapping[str, Metrics],
    baselines: Mapping[str, Mapping[str, Metrics]],
    status: str,
    seconds: float,
    versions: Mapping[str, str],
) -> dict[str, Any]:
    """The content of summary.json.

    Args:
        records: every trial of the sweep.
        budgets: family -> trials planned; its order is the order of the families everywhere.
        metric: the logged name the winners are chosen by, such as `val/R@10`.
        mode: `max` or `min`.
        tests: family -> its winner's metrics on the test slides, logged names; untested ones are left out.
        baselines: name -> `val` and `test` -> metrics, with or without the split in their names.
        status: `complete` or `interrupted`.
        seconds: wall time of the sweep.
        versions: see `sweeps.versions`.
    """
    families = {
        family: _family(records, family, budget, metric, mode, tests.get(family, {}))
        for family, budget in budgets.items()
    }
    summary = {
        "status": status,
        "metric": metric,
        "mode": mode,
        "seconds": round(seconds, 1),
        "verdict": "",
        "families": families,
        "baselines": {
            name: {split: _of_split(both.get(split, {}), split) for split in ("val", "test")}
            for name, both in baselines.items()
        },
        "versions": dict(versions),
    }
    return {**summary, "verdict": verdict(summary)}


def _family(
    records: Sequence[TrialRecord],
    family: str,
    budget: int,
    metric: str,
    mode: Literal["max", "min"],
    test: Metrics,
) -> dict[str, Any]:
    own = [r for r in records if r.family == family]
    counts = Counter(STATES[r.state] for r in own)
    trials = {"budget": budget, **{state: counts[state] for state in STATES.values()}}
    winner = best_record(own, family, metric, mode)
    if winner is None:
        return {"trials": trials, "best": None, "reason": why_no_winner(own, budget)}
    best = {
        "trial": winner.number,
        "name": winner.name,
        "params": dict(winner.params),
        "epochs": winner.epochs,
        "seconds": round(winner.seconds, 3),
        "seed": winner.seed,
        "val": _of_split(winner.metrics, "val"),
        "test": _of_split(test, "test"),
    }
    return {"trials": trials, "best": best, "reason": None}


def _of_split(metrics: Metrics, split: str) -> dict[str, float]:
    """The metrics of one split without its prefix; names without any prefix are taken as that split's."""
    named = {name.removeprefix(f"{split}/"): value for name, value in metrics.items()}
    return {name: value for name, value in named.items() if "/" not in name}


def why_no_winner(own: Sequence[TrialRecord], budget: int) -> str:
    """One line: how a family's trials ended, and the most common reason of those that failed."""
    if not own:
        return f"none of its {budget} trials was started"
    counts = Counter(STATES[r.state] for r in own)
    ends = ", ".join(f"{counts[state]} {state}" for state in STATES.values() if counts[state])
    text = f"no trial gave a value ({ends} of {budget})"
    common = common_reasons(own)
    if common:
        reason, times = common[0]
        text += f"; most common reason ({times} of {counts['failed']} failures): {reason}"
    return text


def common_reasons(records: Sequence[TrialRecord]) -> list[tuple[str, int]]:
    """(reason, how many trials failed of it), most common first; a reason is an error's last line."""
    return Counter(last_line(r.error or "") for r in records if r.state == "FAIL").most_common()


def last_line(error: str) -> str:
    """The line of an error or traceback that says what happened."""
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason recorded"


def lift(metrics: Metrics, name: str) -> float | None:
    """`metrics[name]` over its chance level; None when either is missing or chance is 0."""
    value, chance = metrics.get(name), metrics.get(f"chance_{name}")
    known = value is not None and chance is not None and math.isfinite(value) and chance > 0
    return value / chance if known else None  # type: ignore[operator]


def verdict(summary: Mapping[str, Any], name: str = "R@10") -> str:
    """What the test slides say, in plain sentences, from a summary's families and baselines.

    Each family has one training seed here, so no difference between two trained models is claimed.
    """
    tested = {f: d["best"]["test"] for f, d in summary["families"].items() if d["best"]}
    tested = {f: test for f, test in tested.items() if _known(test.get(name))}
    if not tested:
        return "No verdict: no family has a winner that was read on the test slides."
    cca = summary["baselines"].get("cca", {}).get("test", {})
    parts = [_with_chance(family, test, name) for family, test in tested.items()]
    parts += [_with_chance("the CCA baseline", cca, name)] if _known(cca.get(name)) else []
    sentences = [
        f"Test {name}: {'; '.join(parts)}.",
        "No claim of a difference: one training seed per family.",
    ]
    missing = [f for f in summary["families"] if f not in tested]
    if missing:
        sentences.append(f"Without a test result: {', '.join(missing)}.")
    return " ".join([*sentences, _against_cca(tested, cca, name)])


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _with_chance(who: str, metrics: Metrics, name: str) -> str:
    ratio = lift(metrics, name)
    if ratio is None:
        return f"{who} {metrics[name]:.3f} (chance unknown)"
    return f"{who} {metrics[name]:.3f} (chance {metrics[f'chance_{name}']:.3f}, lift {ratio:.1f}x)"


def _against_cca(tested: Mapping[str, Metrics], cca: Metrics, name: str) -> str:
    if not _known(cca.get(name)):
        return "The CCA baseline was not run, so nothing is said about whether the training pays."
    above = [family for family, test in tested.items() if test[name] > cca[name]]
    if not above:
        return "No family beats the CCA baseline, a closed form that takes about a second."
    return f"Above the CCA baseline: {', '.join(above)} (one seed each, so not yet a proven lead)."
