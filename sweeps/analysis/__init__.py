"""What the numbers say: which configurations stand for a family, intervals, comparisons, the verdict, warnings.

Imports `sweeps.planning` and all below it. In come records and rows of test slides; out goes the content of
summary.json and retrieval.json. Reads no clock and no Ray, so the same numbers give the same sentences.
"""
