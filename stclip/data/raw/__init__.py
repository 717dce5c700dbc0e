"""From what a laboratory has to shards: what the raw formats (`hest.py`, `visium.py` above) share, and the conversion."""
