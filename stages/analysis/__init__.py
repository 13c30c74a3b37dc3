"""Judges: what the numbers show. Values in, values out, no text."""
