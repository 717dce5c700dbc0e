"""Optional dependencies: imported where they are needed, and asked for by name where they are missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from stclip.errors import InputError


def extra(module: str, name: str, what: str) -> Any:
    """The module, which the extra `name` brings and `what` needs. Raises InputError with the command to install it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise InputError(f"{what} need {module} ({error}); run: pip install 'stclip[{name}]'") from None
