"""Files and texts from others with random faults: each must be accepted, or refused in one clear line.

    python benchmarks/fuzz.py [--texts 2000] [--shards 500] [--checkpoints 500] [--seed 0]

Configuration files, overrides, shards, checkpoints. A new door is an entry in `kinds`: a strategy that makes examples, and a
function that tries one.

Prints how many of each were accepted and refused, and the seconds. Exit status 1 for a finding: anything else that is
raised, an error of several lines, an example that takes longer than its limit or much memory. The example is
printed. A tenth of this runs in the tests.
"""

from __future__ import annotations

import argparse
import io
import resource
import sys
import tarfile
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from PIL import Image

from benchmarks.fuzz_checkpoints import mutated_checkpoints, read_all_ways
from stclip.config import Experiment
from stclip.config.load import parse_override, validate
from stclip.config.strict_yaml import read_yaml
from stclip.data.shards import read_slide
from stclip.errors import InputError
from stclip.files.paths import PROJECT_ROOT
from sweeps.search.pinning import pin
from sweeps.search.space import SPACES, load_space

EXAMPLE_SECONDS = 10
MOST_MEMORY = 400  # MB that a kind's examples may add in all
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


def spot_parts() -> dict[str, bytes]:
    """The members of a good spot."""
    out = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(noise).save(out, format="PNG")
    return {"png": out.getvalue(), "txt": b"G1 G2 G3", "json": b'{"sample_id": "A", "x": 1.5, "y": 2}'}


@st.composite
def mutated_shards(draw: st.DrawFn) -> bytes:
    """A shard of a few spots: faults in headers, members, kinds of members, names, or in the whole."""
    out = io.BytesIO()
    kinds = (tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE,
             tarfile.DIRTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE)  # fmt: skip
    formats = st.sampled_from((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT))
    names = st.sampled_from(
        ("/etc/x", "../../x", "a/../b", "é", ".x", "x" * 99, "__a__", "A", "A_0")
    ) | st.text(max_size=9)
    with tarfile.open(fileobj=out, mode="w", format=draw(formats)) as tar:
        for number in range(draw(st.integers(1, 3))):
            key = f"A_{number}"
            for part, data in spot_parts().items():
                fault = draw(st.sampled_from(("none",) * 24 + ("bytes", "kind", "name", "huge")))
                info = tarfile.TarInfo(f"{key}.{part}")
                content = draw(flipped(data)) if fault == "bytes" else data
                if fault == "kind":
                    info.type = draw(st.sampled_from(kinds))
                    info.linkname = "/etc/passwd"
                elif fault == "name":
                    info.name = f"{draw(names)}.{draw(st.sampled_from((part, 'npy', 'pickle', '')))}"
                info.size = len(content)
                try:
                    header = info.tobuf(tar.format, "utf-8", "surrogateescape")
                except ValueError:  # a name that this format cannot hold
                    continue
                if fault == "huge":
                    info.size = draw(st.sampled_from((2**33 - 1, 2**40, 2**63, 2**80)))
                    header = info.tobuf(tarfile.GNU_FORMAT)
                out.write(header + content + bytes(-len(content) % 512))
                tar.offset = out.tell()
    data = out.getvalue()
    return data if draw(st.booleans()) else draw(flipped(data))


def read_shard(data: bytes) -> bool:
    """Read a slide of one shard under both policies."""
    with tempfile.TemporaryDirectory(prefix="st") as folder:
        path = Path(folder) / "A" / "A_000000.tar"
        path.parent.mkdir()
        path.write_bytes(data)
        skip = refused_or_accepted(
            lambda: list(read_slide(Path(folder), "A", on_bad_spot="skip", skipped=[]))
        )
        strict = refused_or_accepted(
            lambda: list(read_slide(Path(folder), "A", on_bad_spot="error", skipped=[]))
        )
        assert skip or not strict
        assert [p for p in Path(folder).rglob("*") if p.is_file()] == [path]
        return strict


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

    one()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < MOST_MEMORY, f"memory grew by {grown:.0f} MB"
    return counts


def kinds(
    texts: int, shards: int, checkpoints: int
) -> dict[str, tuple[st.SearchStrategy[Any], Outcome, int]]:
    """What is fuzzed: name -> examples, what is done with one, how many. Overrides are a quarter of `texts`."""
    checkpoint_files = mutated_checkpoints(flipped)
    files = mutated_text(spaces_and_experiments())
    return {
        "files": (files, load_text, texts - texts // 4),
        "overrides": (override_texts(), set_override, texts // 4),
        "shards": (mutated_shards(), read_shard, shards),
        "checkpoints": (checkpoint_files, lambda data: read_all_ways(data, refused_or_accepted), checkpoints),
    }


def main() -> int:
    """0 without a finding, else 1."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--shards", type=int, default=500)
    parser.add_argument("--checkpoints", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    findings = 0
    for name, (strategy, outcome, examples) in kinds(
        options.texts, options.shards, options.checkpoints
    ).items():
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
