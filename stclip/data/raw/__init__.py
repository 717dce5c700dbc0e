"""From what a laboratory has to shards: the raw formats (`hest.py`, `visium.py`), what they share, and the conversion."""
