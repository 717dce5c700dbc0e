"""sweep.yaml: what decides a sweep, sealed, so that a file that was cut short or changed is never taken for the whole."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stclip.config.strict_yaml import RESULTS, check_size, dump_tree, parse_yaml, read_yaml
from stclip.errors import ConfigError, InputError
from stclip.files.regular_files import read_text

_SEAL = "digest: "  # the last line: SHA-256 of all lines before it
_SEALED = 100  # bytes of that line, and some


def sealed_text(sweep: Mapping[str, Any]) -> str:
    """A mapping of plain values as YAML with its seal. Raises ConfigError for one too large to be read again."""
    content = {k: v for k, v in sweep.items() if k != "digest"}
    check_size(content, "sweep.yaml of this sweep", RESULTS)
    text = dump_tree(content) if content else ""
    if len(text.encode()) + _SEALED > RESULTS.size:
        raise ConfigError(
            f"sweep.yaml of this sweep would be larger than {RESULTS.size // 2**20} MB; search fewer choices, or slides with "
            "shorter names"
        )
    return f"{text}{_SEAL}{_digest(text)}\n"


def read_sealed(path: Path) -> dict[str, Any]:
    """The mapping of a file as `sealed_text` wrote it, without the seal.

    Raises InputError: no such file, or its content is not what was written.
    """
    try:
        text = read_text(path, RESULTS.size)
    except FileNotFoundError:
        raise InputError(f"{path.parent}: not a sweep's results folder: it has no {path.name}") from None
    except UnicodeDecodeError:
        raise _broken(path) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    body, _, seal = text.rpartition(_SEAL)
    if seal != f"{_digest(body)}\n":
        raise _broken(path)
    tree = parse_yaml(body, str(path), RESULTS) or {}
    if not isinstance(tree, dict):
        raise _broken(path)
    return tree


def seal_of(path: Path) -> str:
    """The seal of a file that `read_sealed` has read: equal seals, equal contents. Raises OSError."""
    return read_text(path, RESULTS.size).rpartition(_SEAL)[2]


def read_unsealed(path: Path) -> dict[str, Any]:
    """The mapping without its seal, whole or not, for a report. Raises InputError when there is none to read."""
    if not path.is_file():
        raise InputError(f"{path.parent}: not a sweep's results folder: it has no {path.name}")
    return {key: value for key, value in read_yaml(path, RESULTS).items() if key != "digest"}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _broken(path: Path) -> InputError:
    return InputError(
        f"{path}: is not as the sweep wrote it (cut short, or changed by hand), so the sweep cannot go on from it; "
        "put back a copy of the file, or start another sweep with --name"
    )
