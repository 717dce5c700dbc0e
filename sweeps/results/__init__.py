"""The record of a sweep, in a folder or at an address: what is written where, by whom, and what is read back.

Imports `sweeps.text`, stclip's files and its strict YAML. In come trials' records, tables and trees as they are; out
they come again, checked, or an InputError that says what to do. Knows nothing of how a sweep is planned or run.
"""
