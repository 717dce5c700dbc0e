"""Looks into Ray, Optuna and Lightning for what a new version may change, and says it in plain words."""

import inspect
import mmap
import re
from functools import cache
from importlib import import_module
from pathlib import Path


def found(place, rests):
    """What is at `package.module:name.name`. `rests`: which file of ours rests on it, and why."""
    module, _, names = place.partition(":")
    try:
        here = import_module(module)
    except ImportError as error:
        raise AssertionError(f"there is no {module} any more ({error}): {rests}") from None
    for name in names.split("."):
        assert hasattr(here, name), f"{module} no longer has {names}: {rests}"
        here = getattr(here, name)
    return here


def takes(function, names, rests):
    """`function` still takes arguments of these names."""
    known = inspect.signature(function).parameters
    for name in names:
        assert name in known, f"{function.__qualname__} no longer takes '{name}': {rests}"


@cache
def sources(package):
    """All Python text of an installed package, without its tests, its examples, and lists of what may be set."""
    folder = Path(import_module(package).__file__).parent
    unread = re.compile(r"/(tests?|examples|rllib)/|test_utils|/tune/constants\.py$")
    texts = [path.read_bytes() for path in folder.rglob("*.py") if not unread.search(path.as_posix())]
    return b"\n".join(texts)


def is_read(setting):
    """Whether Ray's Python code reads the environment variable: there, or under the name of a constant that it uses."""
    text = sources("ray")
    for match in re.finditer(rb"[\"']" + setting.encode() + rb"[\"']", text):
        before = text[max(0, match.start() - 80) : match.start()]
        if re.search(rb"(environ(\.\w+)?|getenv|\w*env_\w+)\s*[\[(]\s*$", before):
            return True
        constant = re.search(rb"\b([A-Z][A-Z0-9_]+)(: \w+)? = \(?\s*$", before)
        if constant and len(re.findall(rb"\b" + constant[1] + rb"\b", text)) > 1:
            return True
    return False


def says(text):
    """Whether `text` is anywhere in the installed Ray: in its Python code or in its programs."""
    import ray

    if text.encode() in sources("ray"):
        return True
    folder = Path(ray.__file__).parent
    programs = (
        folder / "_raylet.so",
        folder / "core/src/ray/raylet/raylet",
        folder / "core/src/ray/gcs/gcs_server",
    )
    return any(_holds(program, text.encode()) for program in programs)


def _holds(path, content):
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as map:
        return map.find(content) >= 0
