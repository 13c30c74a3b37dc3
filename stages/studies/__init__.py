"""Many trainings for one table."""
