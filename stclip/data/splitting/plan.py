"""Which slides may be parted: donors and sections that are there twice, and a split that keeps each on one side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from stclip.data.shards.splits import SPLITS, Splits
from stclip.data.splitting.duplicates import Duplicate
from stclip.data.splitting.search import search_split
from stclip.data.splitting.slide_table import SlideRow
from stclip.errors import InputError, unknown_name
from stclip.terminal.text import many

By = Literal["donor", "slide"]
NEW_DONORS = "the test then says nothing of new donors"  # where a donor stands on two sides


def merged_donors(slides: Sequence[SlideRow], duplicates: Sequence[Duplicate]) -> dict[str, str]:
    """Slide -> donor, where it is known. Slides of one section have one donor, also where they are listed under two."""
    donors = {row.slide: row.donor for row in slides if row.donor is not None}
    for pair in duplicates:
        known = [donors[slide] for slide in (pair.a, pair.b) if slide in donors]
        if not known:
            continue
        joined = " = ".join(sorted({part for donor in known for part in donor.split(" = ")}))
        donors = {slide: joined if donor in known else donor for slide, donor in donors.items()}
        donors[pair.a] = donors[pair.b] = joined
    return donors


def plan_split(
    slides: Sequence[SlideRow],
    donors: Mapping[str, str],
    duplicates: Sequence[Duplicate],
    given: Mapping[str, str],
    by: By,
    stratify: bool,
    seed: int,
) -> Splits:
    """The split by `given`: for train, val and test a share each, or each a list of slides with commas between them.

    No donor (`by="donor"`), or no section (`by="slide"`), stands on two sides. `stratify` keeps the shares in each technology as
    far as possible. Raises InputError when that cannot be done.
    """
    groups = _groups(slides, donors, duplicates, by)
    shares = {split: _share(text) for split, text in given.items()}
    if None in shares.values():
        return _named_split(given, shares, groups, by)
    wanted = [share for share in shares.values() if share is not None]
    if not math.isclose(sum(wanted), 1.0, abs_tol=1e-6) or min(wanted) <= 0:
        got = ", ".join(f"--{split} {text}" for split, text in given.items())
        raise InputError(f"the three shares must be above 0 and sum to 1, got {got}")
    if len(set(groups.values())) < len(SPLITS):
        raise InputError(_too_few(len(slides), len(set(groups.values())), by))
    strata = {row.slide: (row.technology if stratify else None) or "unknown" for row in slides}
    return search_split(groups, strata, wanted, seed)


def _groups(
    slides: Sequence[SlideRow], donors: Mapping[str, str], duplicates: Sequence[Duplicate], by: By
) -> dict[str, str]:
    """Slide -> what stays on one side with it."""
    if by == "donor":
        unknown = [row.slide for row in slides if row.slide not in donors]
        if unknown:
            raise InputError(
                f"the donor of {len(unknown)} of {many(len(slides), 'slide')} is not known (such as {unknown[0]}); write "
                "donors.csv with the columns slide,donor into the data set, or use --by slide"
            )
        return {row.slide: donors[row.slide] for row in slides}
    groups = {row.slide: row.slide for row in slides}
    for pair in duplicates:
        joined, old = groups[pair.a], groups[pair.b]
        groups = {slide: joined if group == old else group for slide, group in groups.items()}
    return groups


def _share(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _too_few(slides: int, groups: int, by: By) -> str:
    if by == "slide":
        return f"{many(groups, 'section')} cannot be split onto three sides; bring in more slides"
    return (
        f"{many(slides, 'slide')} of {many(groups, 'donor')} cannot be split by donor onto three sides; get slides of more "
        f"donors, or use --by slide, and mind that {NEW_DONORS}"
    )


def _named_split(
    given: Mapping[str, str], shares: Mapping[str, float | None], groups: Mapping[str, str], by: By
) -> Splits:
    sides: dict[str, tuple[str, ...]] = {}
    for split, text in given.items():
        if shares[split] is not None:
            raise InputError(
                f"--{split} is the share {text} while another is a list of slides; give three shares or three lists"
            )
        sides[split] = tuple(word.strip() for word in text.split(",") if word.strip())
        if not sides[split]:
            raise InputError(f"--{split} names no slide; give ids with commas between them, or three shares")
        for slide in sides[split]:
            if slide not in groups:
                raise InputError(f"--{split}: {unknown_name('slide', slide, groups)}")
    _check_apart(sides, groups, by)
    return Splits(**sides)


def _check_apart(sides: Mapping[str, Sequence[str]], groups: Mapping[str, str], by: By) -> None:
    seen: dict[str, tuple[str, str]] = {}
    for split, slides in sides.items():
        for slide in slides:
            first, where = seen.setdefault(groups[slide], (slide, split))
            if where == split:
                continue
            what = "the donor" if by == "donor" else "the section"
            way_out = f", or use --by slide, and mind that {NEW_DONORS}" if by == "donor" else ""
            raise InputError(
                f"slides '{first}' in {where} and '{slide}' in {split} share {what} '{groups[slide]}'; keep them on one side"
                + way_out
            )
