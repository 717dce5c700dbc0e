"""What is searched, and Optuna: spaces, families, rungs, and the studies that remember every trial.

Imports `sweeps.results` (records), `sweeps.seeds` and `sweeps.text`. In come a space and what trials report; out goes
the next trial to run. Ray places it, nothing here does.
"""
