"""What a person, or Grafana, sees: the live view, the table at the end, report.md and report.html with their figures.

Imports `sweeps.analysis` and all below it. In come records of a running sweep, or the files of a finished one; out go
text, pages and gauges. Decides nothing: what it shows was found by `sweeps.analysis`.
"""
