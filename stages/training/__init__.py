"""What a training alone runs."""
