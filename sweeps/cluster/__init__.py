"""Reaching Ray and its nodes: a private one or a cluster's, by address, by job or by a Ray client; what each trial gets of them.

Imports `sweeps.planning` and all below it. In come a plan and an address; out go nodes, resources, and a driver that
runs there.
"""
