"""What a person at a terminal meets: command lines whose errors are one line, progress bars, words that fit their number.

Imports `stclip.errors` only. Knows nothing of data, models or sweeps.
"""
