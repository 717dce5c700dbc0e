"""The commands of `python -m stclip.data`, a file each: `add` describes one to argparse."""
