"""From raw files to prepared tensors."""
