"""Built-in data sets: made-up tissue whose tiles and genes have something in common, written as shards.

Imports `stclip.data.store` (where data sets lie) and `stclip.data.shards`. In comes a name; out goes a folder of
shards.
"""
