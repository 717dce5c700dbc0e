"""sweep.yaml: what decides a sweep, sealed, so that a file that was cut short or changed is never taken for the whole."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from stclip.errors import InputError
from stclip.strict_yaml import parse_yaml, read_yaml

_SEAL = "digest: "  # the last line: SHA-256 of all lines before it


def sealed_text(sweep: Mapping[str, Any]) -> str:
    """A mapping of plain values as YAML with its seal."""
    content = {k: v for k, v in sweep.items() if k != "digest"}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True) if content else ""
    return f"{text}{_SEAL}{_digest(text)}\n"


def read_sealed(path: Path) -> dict[str, Any]:
    """The mapping of a file as `sealed_text` wrote it, without the seal.

    Raises InputError: no such file, or its content is not what was written.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise InputError(f"{path.parent}: not a sweep's results folder: it has no {path.name}") from None
    except UnicodeDecodeError:
        raise _broken(path) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    body, _, seal = text.rpartition(_SEAL)
    if seal != f"{_digest(body)}\n":
        raise _broken(path)
    tree = parse_yaml(body, str(path)) or {}
    if not isinstance(tree, dict):
        raise _broken(path)
    return tree


def read_unsealed(path: Path) -> dict[str, Any]:
    """The mapping without its seal, whole or not, for a report. Raises InputError when there is none to read."""
    if not path.is_file():
        raise InputError(f"{path.parent}: not a sweep's results folder: it has no {path.name}")
    return {key: value for key, value in read_yaml(path).items() if key != "digest"}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _broken(path: Path) -> InputError:
    return InputError(
        f"{path}: is not as the sweep wrote it (cut short, or changed by hand), so the sweep cannot go on from it; "
        "put back a copy of the file, or start another sweep with --name"
    )
