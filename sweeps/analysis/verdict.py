"""The verdict in words, made from the numbers of a summary and nothing else.

It speaks of families: of what each retrieves when it is tuned by a search of this budget. Of two families one is better, or
they are equivalent (the interval lies within ± the margin), or nothing is decided; then it says what more it would take.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sweeps.analysis.outcome import Effort, effort_to_decide, search_share
from sweeps.analysis.readings_told import earlier_sentence, looks_sentence
from sweeps.text import many, recall_of

Tree = Mapping[str, Any]


def verdict(summary: Tree) -> str:
    """Plain sentences about the test slides, by the recall that the winners were chosen by (else R@10)."""
    name = verdict_recall(summary)
    tested = [
        f for f, entry in summary["families"].items() if _value(entry.get("test_intervals"), name) is not None
    ]
    if not tested:
        return f"{_unread(summary, name)} {earlier_sentence(summary)}".strip()
    families = [c for c in summary["comparisons"] if c["kind"] == "families"]
    sentences = [difference_sentence(c, name, summary["margin"]) for c in families]
    if not sentences:
        sentences = [_why_no_pair(summary, tested)]
    sentences += [
        looks_sentence(summary),
        _levels(summary, tested, name),
        _winners(summary, tested, name),
        _against(summary, "cca", "the CCA baseline", name),
    ]
    sentences.append(_against_untrained(summary, name))
    missing = [f for f in summary["families"] if f not in tested]
    if missing:
        sentences.append(f"Without a test result: {', '.join(missing)}.")
    return " ".join(sentence for sentence in sentences if sentence)


def verdict_recall(summary: Tree) -> str:
    """`R@10` of `val/R@10`: what the verdict speaks of."""
    return recall_of(str(summary["metric"]))


def difference_sentence(comparison: Tree, name: str, margin: float) -> str:
    """One pair of families: which is better, that they are equivalent, or that nothing is decided and what it would take."""
    found = comparison["metrics"][name]
    a, b = comparison["a"], comparison["b"]
    if found["low"] is None:
        return (
            f"No claim about {a} and {b}: with {_size(comparison)} there is nothing to take an interval from."
        )
    if not comparison["covers_search"]:
        return (
            f"No claim about {a} and {b} as families: one of them had a single configuration confirmed, and another search would "
            f"end at another one; use --confirm-configs 2 or more. Of these configurations: {_numbers(comparison, name, 1)}."
        )
    if found["outcome"] in ("better", "worse"):
        first, second, sign = (a, b, 1) if found["outcome"] == "better" else (b, a, -1)
        lead = _lead(sorted((sign * found["low"], sign * found["high"])), margin)
        return f"{first} retrieves better than {second} on the test slides, {lead}: {_numbers(comparison, name, sign)}."
    if found["outcome"] == "equivalent":
        return f"{a} and {b} are equivalent on the test slides, within {margin:g}: {_numbers(comparison, name, 1)}."
    return (
        f"Undecided between {a} and {b} on the test slides: {_numbers(comparison, name, 1)}, not within the margin of "
        f"{margin:g}. {_more(comparison, name, margin)}"
    )


def _lead(interval: Sequence[float], margin: float) -> str:
    low, high = interval
    if low >= margin:
        return f"by more than the margin of {margin:g}"
    if high <= margin:
        return f"by less than the margin of {margin:g}"
    return f"perhaps by less than the margin of {margin:g}"


def _more(comparison: Tree, name: str, margin: float) -> str:
    """What would decide, from the parts of the variance."""
    found = comparison["metrics"][name]
    now = Effort(comparison["searches"], comparison["seeds"], comparison["clusters"])
    variance = found["variance"]
    effort = effort_to_decide(variance, now, (found["high"] - found["low"]) / 2, margin)
    share = search_share(variance, now)
    because = (
        f"The search is {share:.0%} of the variance"
        if share >= 0.01
        else "The search adds nothing to the variance"
    )
    if effort is None:
        return f"{because}; a decision at this margin is out of reach, a wider --margin is not."
    unit = "slide" if comparison["clusters"] == comparison["slides"] else "donor"
    wanted = [
        many(effort.searches, "independent search of each family", "independent searches of each family")
        if effort.searches > now.searches
        else "",
        many(effort.seeds, "seed") if effort.seeds > now.seeds else "",
        f"{many(effort.slides, unit)} in test" if effort.slides > now.slides else "",
    ]
    there = [text for text in wanted if text]
    if not there:
        return f"{because}; the interval is as narrow as the margin, and the difference is close to it."
    return f"{because}; to decide it would take about {' and '.join(there)}."


def _numbers(comparison: Tree, name: str, sign: int) -> str:
    found = comparison["metrics"][name]
    low, high = sorted((sign * found["low"], sign * found["high"]))
    p = "" if found["p_holm"] is None else f", p = {p_text(found['p_holm'])}"
    return (
        f"{name} {signed(sign * found['difference'])} [{signed(low, plus=False)}, {signed(high, plus=False)}]{p}, "
        f"{_size(comparison)}"
    )


def signed(value: float, plus: bool = True) -> str:
    """`+0.031`, with a hyphen for minus; three decimals."""
    text = f"{value:+.3f}" if plus else f"{value:.3f}"
    return text.replace("-0.000", "0.000").replace("+0.000", "0.000")


def p_text(p: float) -> str:
    """`0.004`; `0.0004` below a thousandth, so that it never reads as 0."""
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1g}"


def _size(comparison: Tree) -> str:
    a, b = comparison["configurations"]
    of_families = comparison["kind"] == "families" and a != b
    configurations = f"{a} and {b} configurations" if of_families else many(a, "configuration")
    text = f"{configurations} x {many(comparison['seeds'], 'seed')} x {many(comparison['slides'], 'slide')}"
    if comparison["clusters"] < comparison["slides"]:
        text += f" of {many(comparison['clusters'], 'donor')}"
    if comparison["clusters"] == 1:
        unit = "slides" if comparison["slides"] == 1 else "donors"
        text += f" (so the interval covers other seeds, not other {unit})"
    return text


def _levels(summary: Tree, tested: Sequence[str], name: str) -> str:
    parts = [f"{f} {_estimate(summary['families'][f]['test_intervals'][name])}" for f in tested]
    for baseline, words in (("cca", "the CCA baseline"), ("untrained", "an untrained model")):
        found = (summary["baselines"].get(baseline) or {}).get("test_intervals") or {}
        if name in found:
            parts.append(f"{words} {found[name]['value']:.3f}")
    chance = next((_value_of_chance(summary["families"][f], name) for f in tested), None)
    if chance is not None:
        parts.append(f"chance {chance:.3f}")
    return f"Test {name}: {', '.join(parts)}."


def _winners(summary: Tree, tested: Sequence[str], name: str) -> str:
    """The families' best configurations, which are no families."""
    best = {family: summary["families"][family]["best"] for family in tested}
    known = [f"{one['name']} {one['test'][name]:.3f}" for one in best.values() if name in one["test"]]
    return f"The best configurations by val: {', '.join(known)}." if known else ""


def _estimate(found: Tree) -> str:
    if found["low"] is None:
        return f"{found['value']:.3f}"
    return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


def _against(summary: Tree, baseline: str, words: str, name: str) -> str:
    """Which families beat a baseline, which it beats, and of which nothing is shown."""
    pairs = [c for c in summary["comparisons"] if c["kind"] == "baseline" and c["b"] == baseline]
    if not pairs:
        return (
            f"{words[0].upper()}{words[1:]} was not run, so nothing is said about whether the training pays."
        )
    better = [c for c in pairs if c["metrics"][name]["outcome"] == "better"]
    worse = [c for c in pairs if c["metrics"][name]["outcome"] == "worse"]
    sentences = []
    if better:
        shown = "; ".join(f"{c['a']} {_numbers(c, name, 1)}" for c in better)
        sentences.append(f"Better than {words}: {shown}.")
    else:
        sentences.append(f"No family is shown to beat {words}, a closed form that takes about a second.")
    if worse:
        sentences.append(
            f"{words[0].upper()}{words[1:]} is better than {', '.join(c['a'] for c in worse)}: "
            f"{'; '.join(_numbers(c, name, -1) for c in worse)}."
        )
    return " ".join(sentences)


def _against_untrained(summary: Tree, name: str) -> str:
    """Only where training gained nothing that can be shown."""
    pairs = [c for c in summary["comparisons"] if c["kind"] == "baseline" and c["b"] == "untrained"]
    lost = [c["a"] for c in pairs if c["metrics"][name]["outcome"] != "better"]
    if not lost:
        return ""
    return f"Not shown to be better than without any training: {', '.join(lost)}."


def _unread(summary: Tree, name: str) -> str:
    """Nothing was read on the test slides: why, and what val says so far."""
    best = {f: e["best"]["val"].get(name) for f, e in summary["families"].items() if e["best"]}
    known = {f: value for f, value in best.items() if value is not None and math.isfinite(value)}
    if not known:
        return "No verdict: no family has a winner."
    so_far = ", ".join(f"{f} {value:.3f}" for f, value in known.items())
    to_go = (summary["confirmation"] or {}).get("to_go")
    if to_go:
        return (
            f"No verdict yet: the confirmation was cut off, {many(to_go, 'training')} before its end; nothing of the test "
            "slides is shown until then; go on with --resume."
        )
    if summary["status"] == "complete" and summary["confirmation"] is None:
        return (
            "No verdict: the test slides were not read (--confirm-seeds 0); "
            f"best val {name}, which flatters: {so_far}."
        )
    if summary["status"] == "complete":
        return "No verdict: no winner was read on the test slides; see the failures."
    return (
        "No verdict yet: the sweep ended before its search was over, so its winners were not read on the test slides. "
        f"Best val {name} so far, which flatters: {so_far}."
    )


def _why_no_pair(summary: Tree, tested: Sequence[str]) -> str:
    if len(summary["families"]) == 1:
        return ""
    return f"No comparison: only {', '.join(tested)} could be read on the test slides."


def _value(intervals: Tree | None, name: str) -> float | None:
    found = (intervals or {}).get(name)
    return None if found is None else found["value"]


def _value_of_chance(entry: Tree, name: str) -> float | None:
    return (entry["best"] or {}).get("test", {}).get(f"chance_{name}")
