"""One model: its network, its scores, its files."""
