"""Many trainings for one question: what is declared, what is planned, what is on record."""
