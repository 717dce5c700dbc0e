"""One sweep from the first trial to the report: checks, phases, Tune, interrupts, the end.

Imports every other room, and only the entry points import it. In come a resolved plan and its data; out go the results
folder and an exit status.
"""
