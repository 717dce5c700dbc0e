"""The SpotStore, what every trial reads: found or fetched, built once for a data set's content, sealed, memory-mapped.

Imports `stclip.data.shards`. In comes a data set's name, folder or address; out go arrays that all processes share, and
the key that says what is in them.
"""

from stclip.data.store.store import (
    SpotStore,
    check_content,
    open_store,
    store_key,
)

__all__ = [
    "SpotStore",
    "check_content",
    "open_store",
    "store_key",
]
