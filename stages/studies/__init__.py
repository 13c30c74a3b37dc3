"""Many trainings for one question."""
