"""Files, paths and addresses: what others left is read with limits, what is ours is written whole and never through a link.

Imports `stclip.errors` only. In come paths and addresses as a user or a data set gives them; out go bytes, text and
JSON of regular files, or an InputError that says what is there instead.
"""
