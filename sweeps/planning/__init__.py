"""What the command line asks, resolved and checked before anything runs: a `SweepPlan`, and one `TrialRequest` for each trial.

Imports `sweeps.search` and `sweeps.results`. In come arguments, or the folder of a sweep that goes on; out goes plain
data. Starts no Ray; only `debug` trains anything.
"""
