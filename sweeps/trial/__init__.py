"""What runs on a worker: one plain request becomes one Lightning fit, with reports, checkpoints and a log.

Imports `sweeps.cluster` (resources) and `sweeps.planning` (the request), no plan and no space. In comes a
`TrialRequest`; out go reports to Tune and the trial's folder.
"""
