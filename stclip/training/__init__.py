"""One Lightning run in its parts: the module, what is checked and made before it, loggers, checkpoints, the table at its end.

Imports data, model, losses and retrieval. In comes an `Experiment`; out come weights, metrics and a checkpoint.
`stclip.train` puts the parts together.
"""
