"""`python -m stclip.data visium`: slides as Space Ranger leaves them to shards_v1."""

from __future__ import annotations

import argparse

from stclip.data.commands.conversion_options import add_options, run_conversion
from stclip.data.commands.parsers import Commands, add_bins, add_genome
from stclip.data.raw.visium import VisiumFolder
from stclip.errors import InputError

TILE = 224  # pixels


def add(commands: Commands) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "visium",
        help="bring in slides from 10x Space Ranger",
        description="Bring in Visium slides as shards_v1: a folder a slide with Space Ranger's outs (filtered matrix, spatial) "
        "and the full-resolution image.",
        allow_abbrev=False,
    )
    add_options(parser, "the folder that holds a folder a slide, or one slide's")
    parser.add_argument(
        "--tile-microns", type=float, default=VisiumFolder.tile_microns, metavar="UM",
        help="side of the square of tissue around a spot that becomes its tile (default: %(default)g)",
    )  # fmt: skip
    add_bins(parser)
    add_genome(parser)
    # The same tissue is not the same number of pixels on every slide.
    parser.set_defaults(command=run, tile_size=TILE)


def run(arguments: argparse.Namespace) -> int:
    """Convert; exit status 1 when a slide could not be used."""
    if not 1 <= arguments.tile_microns <= 10_000:
        raise InputError(f"--tile-microns must be from 1 to 10000, got {arguments.tile_microns:g}")
    return run_conversion(
        VisiumFolder(arguments.raw, arguments.tile_microns, arguments.genome, arguments.bin_microns),
        arguments,
    )
