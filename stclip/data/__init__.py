"""Data sets: from raw slides to shards, from shards to a store that trials share, from the store to batches.

Imports `stclip.model` (the fingerprints and frozen encoders of pretrained models), `stclip.config`, `stclip.files`. In
comes a data set's name, folder or address; out go a `SpotStore`, its batches, and a `DataKey` that says what a run has
read. `python -m stclip.data` makes and checks data sets.
"""
