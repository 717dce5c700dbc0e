"""A trained model at work: its metrics on val or test, embeddings of new tiles and sentences, and the baseline it has to beat.

Imports `stclip.training` and all below it. In comes a checkpoint, or features; out go metrics, embeddings and a `slide
-> recall` table.
"""
