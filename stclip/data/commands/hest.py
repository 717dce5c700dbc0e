"""`python -m stclip.data hest`: slides in HEST-1k's layout to shards_v1."""

from __future__ import annotations

import argparse

from stclip.data.commands.conversion_options import add_options, run_conversion
from stclip.data.commands.parsers import Commands, add_genome, add_layer
from stclip.data.raw.hest import HestFolder


def add(commands: Commands) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "hest",
        help="bring in slides in HEST-1k's layout",
        description="Bring in slides in HEST-1k's layout (st/<id>.h5ad, patches/<id>.h5, a metadata csv) as shards_v1.",
        allow_abbrev=False,
    )
    add_options(parser, "the folder that holds st and patches")
    parser.add_argument(
        "--swap-xy",
        action="store_true",
        help="exchange x and y of slides whose coordinates fit their tiles only that way",
    )
    add_layer(parser)
    add_genome(parser)
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Convert; exit status 1 when a slide could not be used."""
    return run_conversion(
        HestFolder(arguments.raw, arguments.swap_xy, arguments.layer, arguments.genome), arguments
    )
