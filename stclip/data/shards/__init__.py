"""shards_v1, the format on disk: tar files of spots, who trains and who tests, and what is known of each slide.

Imports `stclip.files`. In come spots, or a folder that somebody else wrote; out go spots, one at a time, or a DataError
that says which file is wrong and how.
"""

from stclip.data.shards.shards import (
    empty_slide,
    raw_spots,
    read_manifest,
    read_slide,
    slide_shards,
    write_manifest,
    write_slide,
)

__all__ = [
    "empty_slide",
    "raw_spots",
    "read_manifest",
    "read_slide",
    "slide_shards",
    "write_manifest",
    "write_slide",
]
