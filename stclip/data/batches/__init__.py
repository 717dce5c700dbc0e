"""From a store to batches: which spots are drawn together, and what a tower reads of them.

Imports `stclip.data.store`. In come a store and an `Experiment`; out go batches (`stclip.batch.Batch`), and the outputs
of frozen encoders, which lie beside the store.
"""
