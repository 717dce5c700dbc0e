"""Parts of the live picture, fitted into a terminal's width and height."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sweeps.reporting.standing import FamilyStatus, Snapshot
from sweeps.results.records import TrialRecord, lift
from sweeps.text import epochs, last_line, number, printable

BARS = (30, 10)  # columns of a progress bar: on a wide terminal, on others; none where there is less room
WIDE = 100
# Columns that a narrow terminal does without, the first one first.
SPARED = (
    "chance",
    "lift",
    "pruned",
    "failed",
    "run",
)
_GAP = "   "  # between running trials in one line
_STYLES = {"COMPLETE": "green", "PRUNED": "yellow", "FAIL": "red"}


def families_table(snap: Snapshot, metric: str, width: int) -> Table:
    """A row a family. The names and the values stay whole; what does not fit beside them is left out."""
    rows = {name: _cells(status, metric) for name, status in snap.families.items()}
    titles = ["done", "run", "pruned", "failed", metric, "chance", "lift"]
    wide = {t: max(map(cell_len, [t, *(row[t].plain for row in rows.values())])) + 1 for t in titles}
    name_width = min(max((cell_len(printable(name)) for name in rows), default=0), max(12, width // 2))
    name_width = max(name_width, len("family")) + 1
    for spared in SPARED:
        if name_width + sum(wide[title] for title in titles) > width + 1:
            titles.remove(spared)
    room = width - name_width - sum(wide[title] for title in titles)
    bar = min(BARS[0] if width >= WIDE else BARS[1], room - 1)
    bar = bar if bar >= BARS[1] else 0
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("family", overflow="fold", width=name_width - 1)
    if bar:
        table.add_column("", width=bar)
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    for name, status in snap.families.items():
        done = [ProgressBar(total=max(status.budget, 1), completed=status.done, width=bar)] if bar else []
        table.add_row(Text(printable(name)), *done, *(rows[name][title] for title in titles))
    return table


def _cells(status: FamilyStatus, metric: str) -> dict[str, Text]:
    value, chance, ratio = levels(status.best, metric) if status.best else ("-", "-", "-")
    return {
        "done": Text(f"{status.done}/{status.budget}"),
        "run": Text(str(status.running)),
        "pruned": Text(str(status.pruned)),
        "failed": Text(str(status.failed), style="red" if status.failed else ""),
        metric: Text(value),
        "chance": Text(chance),
        "lift": Text(ratio),
    }


def levels(record: TrialRecord, metric: str) -> tuple[str, str, str]:
    """A trial's newest value of `metric`, its chance level and their ratio, as text."""
    split, _, name = metric.partition("/")
    own = {key.removeprefix(f"{split}/"): value for key, value in record.metrics.items()}
    ratio = lift(own, name)
    return number(own.get(name)), number(own.get(f"chance_{name}")), "-" if ratio is None else f"{ratio:.1f}x"


def running_lines(snap: Snapshot, metric: str, width: int, height: int) -> list[Text]:
    """The running trials, each with its epoch and newest value: as many as fit into `height` lines of `width`, and how many
    there are beside them."""
    texts = [running_text(record, snap.epochs, metric) for record in snap.running]
    if not texts or height < 1:
        return []
    cell = max(map(cell_len, texts))
    across = max(1, (width - len("running ") + len(_GAP)) // (cell + len(_GAP)))
    if len(texts) > across * height:
        shown = max(0, across * height - 1)
        texts = [*texts[:shown], f"and {len(texts) - shown} more"]
    lines = [texts[at : at + across] for at in range(0, len(texts), across)]
    return [_running_line(line, cell) for line in lines]


def _running_line(texts: Sequence[str], cell: int) -> Text:
    line = Text("running ", style="cyan", no_wrap=True, overflow="ellipsis")
    return line.append(_GAP.join(set_cell_size(text, cell) for text in texts).rstrip(), style="default")


def running_text(record: TrialRecord, whole: int, metric: str) -> str:
    """`spatial-0007 epoch 3/12 0.412`; `starts` before the first epoch has ended."""
    if not record.epochs:
        return f"{printable(record.name)} starts"
    return f"{printable(record.name)} epoch {record.epochs}/{whole} {levels(record, metric)[0]}"


def ended_line(record: TrialRecord, metric: str, took: str) -> Text:
    """How one trial ended; `took`: its time in words."""
    line = Text("ended ", no_wrap=True, overflow="ellipsis")
    line.append(f"{printable(record.name)} ").append(record.state, style=_STYLES.get(record.state, ""))
    if record.state == "FAIL":
        return line.append(f" {printable(last_line(record.error or ''))}")
    return line.append(f" {levels(record, metric)[0]}, {epochs(record.epochs)} in {took}")
