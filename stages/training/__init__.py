"""What only a training runs."""
