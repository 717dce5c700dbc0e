"""Files and texts from others with random faults: each must be accepted, or refused in one clear line.

    python benchmarks/fuzz.py [--texts 2000] [--shards 500] [--checkpoints 500] [--matrices 600] [--positions 400]
                              [--environments 600] [--seed 0]

Configuration files, overrides, shards, checkpoints, count matrices, positions, token files, variables of the environment. A new
door is an entry in `kinds`: a strategy that makes examples, and a function that tries one.

Prints how many of each were accepted and refused, and the seconds. Exit status 1 for a finding: anything else that is
raised, an error of several lines, an example that takes longer than its limit or much memory. The example is
printed. A tenth of this runs in the tests.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from benchmarks.fuzz_checkpoints import mutated_checkpoints, read_all_ways
from benchmarks.fuzz_child import MOST_MEMORY, InChild
from benchmarks.fuzz_environment import environments, token_cases, try_environment, try_token
from benchmarks.fuzz_matrices import bring_in, good_hest, mutated_hest, mutated_ten_x, visium_slide
from benchmarks.fuzz_positions import mutated_positions
from benchmarks.fuzz_shards import mutated_shards, read_shard
from stclip.config import Experiment
from stclip.config.load import parse_override, validate
from stclip.config.strict_yaml import read_yaml
from stclip.errors import InputError
from stclip.files.paths import PROJECT_ROOT
from sweeps.search.pinning import pin
from sweeps.search.space import SPACES, load_space

EXAMPLES = {
    "texts": 2000,
    "shards": 500,
    "checkpoints": 500,
    "matrices": 600,
    "positions": 400,
    "environments": 600,
}
EXAMPLE_SECONDS = 10
EXPERIMENTS = PROJECT_ROOT / "configs" / "experiment"
BOMB = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{y}: &{y} [{', '.join([f'*{x}'] * 9)}]\n" for x, y in zip("abcdefgh", "bcdefghi", strict=True)
)
ODD = ("", "null", "true", ".nan", "-.inf", "1e999", "-1", "0", "3.5", "9" * 400, "9" * 5000, "[]", "{}", "[1, [2]]",
       "{a: 1}", "*x", "&x", "&x [*x]", "!!int ''", "!!binary x", "!!set {a}", "!!python/object/apply:os.getpid []",
       "!!timestamp 1", "2001-01-01", "0o9", "1:60", "é✓", "\U0001f9ec", "\u202e", "\ud800", "\x00", "../x", "@", "`", "%",
       "\t", "#", "---", "...", ": :", "? a", "<<: {a: 1}", "val/R@10", "clip", "x" * 300, "[" * 3000, "{a: " * 400,
       "\n" + BOMB)  # fmt: skip
KEYS = ("model.embed_dim", "model.image.name", "optimizer.lr", "optimizer.betas", "data.batch_size", "data", "model", "loss",
        "loss.neighbor_alpha_scale", "model.temperature", "trainer.loggers", "about", "data.root", "seed", "", "a.b.c",
        "data.batch_size.x", ".", "loss.name", "trainer.max_epochs")  # fmt: skip

Outcome = Callable[[Any], bool]  # True: accepted, False: refused; raises for a finding


def refused_or_accepted(work: Callable[[], object]) -> bool:
    """True when accepted; only an InputError of one printable line may come instead."""
    try:
        work()
    except InputError as error:
        assert str(error).isprintable() and 0 < len(str(error)) < 1600, str(error)
        return False
    return True


@st.composite
def mutated_text(draw: st.DrawFn, texts: tuple[str, ...]) -> bytes:
    """One of the texts with one to three faults of bytes, lines or values."""
    text = draw(st.sampled_from(texts))
    for _ in range(draw(st.integers(1, 3))):
        lines = text.split("\n")
        at = draw(st.integers(0, len(lines) - 1))
        kind = draw(st.sampled_from(("delete", "double", "indent", "value", "key", "value", "nest")))
        key, colon, value = lines[at].partition(":")
        if kind == "delete":
            del lines[at]
        elif kind == "double":
            lines.insert(at, draw(st.sampled_from(lines)))
        elif kind == "indent":
            lines[at] = " " * draw(st.integers(0, 8)) + lines[at].lstrip()
        elif kind == "value":
            lines[at] = f"{key}{colon} {draw(st.sampled_from(ODD) | st.text(max_size=20))}"
        elif kind == "key":
            lines[at] = f"{draw(st.sampled_from(ODD) | st.text(max_size=20))}{colon}{value}"
        else:
            lines[at] = f"{key}{colon} {'[' * draw(st.sampled_from((1, 19, 25, 2000)))}{value}"
        text = "\n".join(lines)
    data = text.encode("utf-8", errors="surrogatepass")
    return draw(flipped(data)) if draw(st.booleans()) else data


@st.composite
def flipped(draw: st.DrawFn, data: bytes) -> bytes:
    """The bytes with one to four of them changed, and sometimes cut or with a piece doubled."""
    changed = bytearray(data)
    for at in draw(st.lists(st.integers(0, max(0, len(data) - 1)), min_size=1, max_size=4)):
        if changed:
            changed[at] = draw(st.integers(0, 255))
    how = draw(st.sampled_from(("keep", "keep", "keep", "cut", "double")))
    place = draw(st.integers(0, len(changed)))
    if how == "cut":
        del changed[place:]
    elif how == "double":
        changed[place:place] = changed[max(0, place - 600) : place]
    return bytes(changed)


def spaces_and_experiments() -> tuple[str, ...]:
    """The project's own files."""
    return tuple(
        p.read_text(encoding="utf-8") for p in sorted([*SPACES.glob("*.yaml"), *EXPERIMENTS.glob("*.yaml")])
    )


def load_text(data: bytes) -> bool:
    """Read one file as a space and as an experiment."""
    with tempfile.TemporaryDirectory(prefix="st") as folder:
        path = Path(folder) / "mutant.yaml"
        path.write_bytes(data)
        space = refused_or_accepted(lambda: load_space(str(path)))
        return refused_or_accepted(lambda: validate(Experiment, read_yaml(path), str(path))) or space


@st.composite
def override_texts(draw: st.DrawFn) -> str:
    """`--set` strings, some of them with a fault."""
    value = draw(st.sampled_from(("64", "cnn", "1e-3", "[0.9, 0.95]", "0.5", *ODD)) | st.text(max_size=30))
    text = f"{draw(st.sampled_from(KEYS) | st.text(max_size=20))}={value}"
    return (
        draw(flipped(text.encode(errors="surrogatepass"))).decode(errors="replace")
        if draw(st.booleans())
        else text
    )


def set_override(text: str) -> bool:
    """Pin one override in the smallest space."""
    return refused_or_accepted(lambda: pin(load_space("smoke"), [parse_override(text)]))


def fuzz(
    strategy: st.SearchStrategy[Any],
    outcome: Outcome,
    examples: int,
    number: int,
    seconds: float = EXAMPLE_SECONDS,
) -> Counter[bool]:
    """Counts of accepted and refused examples. Raises what an example raised, or AssertionError for memory.

    `number`: the seed. `seconds`: that an example may take at most.
    """
    counts: Counter[bool] = Counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=timedelta(seconds=seconds),
        database=None,
        phases=(Phase.generate,),  # no search for a smaller example: that takes minutes
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def one(example: Any) -> None:
        counts[outcome(example)] += 1

    try:
        one()
    finally:
        if isinstance(outcome, InChild):
            outcome.close()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < MOST_MEMORY, f"memory grew by {grown:.0f} MB"
    return counts


def kinds(counts: Mapping[str, int]) -> dict[str, tuple[st.SearchStrategy[Any], Outcome, int]]:
    """What is fuzzed: name -> examples, what is done with one, how many.

    `counts`: as the command line has them. Overrides are a quarter of the texts, slides of Space Ranger a third of the matrices,
    token files half of the environments.
    """
    texts, checkpoints, surroundings = counts["texts"], counts["checkpoints"], counts["environments"]
    ten_x = counts["matrices"] // 3
    checkpoint_files = mutated_checkpoints(flipped)
    files = mutated_text(spaces_and_experiments())
    return {
        "files": (files, load_text, texts - texts // 4),
        "overrides": (override_texts(), set_override, texts // 4),
        "shards": (
            mutated_shards(flipped),
            lambda data: read_shard(data, refused_or_accepted),
            counts["shards"],
        ),
        "checkpoints": (checkpoint_files, lambda data: read_all_ways(data, refused_or_accepted), checkpoints),
        "h5ad and patches": (mutated_hest(), InChild(bring_in, good_hest()), counts["matrices"] - ten_x),
        "10x matrices": (mutated_ten_x(), InChild(bring_in, visium_slide({})), ten_x),
        "positions": (mutated_positions(), InChild(bring_in, visium_slide({})), counts["positions"]),
        "tokens": (token_cases(), lambda case: try_token(case, refused_or_accepted), surroundings // 2),
        "variables": (
            environments(),
            lambda given: try_environment(given, refused_or_accepted),
            surroundings - surroundings // 2,
        ),
    }


def main() -> int:
    """0 without a finding, else 1."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, count in EXAMPLES.items():
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    findings = 0
    for name, (strategy, outcome, examples) in kinds(vars(options)).items():
        start = time.perf_counter()
        try:
            counts = fuzz(strategy, outcome, examples, options.seed)
            print(
                f"{name}: {counts[True]} accepted, {counts[False]} refused, {time.perf_counter() - start:.0f} s"
            )
        except Exception:
            findings += 1
            traceback.print_exc()
            print(f"{name}: a finding, see above")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
