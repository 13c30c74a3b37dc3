"""The benchmark: `make bench` prints a table and writes reports/benchmark.json and .md.

A is the conventional way to write the training, B this project's own; both run in one call on
one machine, turn by turn. See ``conventional``, ``own``, ``limit``, ``breakdown``, ``overhead``.
"""
