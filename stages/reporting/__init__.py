"""Tells: what was judged, in sentences, figures and documents."""
