"""What is needed only to train."""
