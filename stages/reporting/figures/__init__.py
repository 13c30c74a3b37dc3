"""The figures of the report."""

import os

# Matplotlib reads both when it is imported, and fails by a backend that it does not know, such as
# the one that a notebook names for its own environment.
os.environ["MPLBACKEND"] = "agg"
os.environ["MATPLOTLIBRC"] = os.devnull
