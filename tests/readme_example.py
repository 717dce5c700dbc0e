"""The example of README.md that takes a trained model into use, run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent
from typing import Any

from stclip.files.paths import PROJECT_ROOT

START = "    from stclip import load_model\n"


def run_readme_example(folder: Path) -> dict[str, Any]:
    """Run it on the model of a folder; returns the names it makes."""
    text = (PROJECT_ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count(START) == 1
    block = re.match(r"(?:    .*\n)+", text[text.index(START) :])
    assert block is not None
    code = dedent(block[0])
    assert code.count('"results/NAME/best/spatial"') == 1
    made: dict[str, Any] = {}
    exec(code.replace("results/NAME/best/spatial", str(folder)), made)
    return made
