"""The dual encoder and its towers, from scratch or pretrained.

Imports `stclip.config`, `stclip.files`. In come tiles or features and gene ids; out go unit vectors and the logit
scale. Knows nothing of data sets or losses.
"""
