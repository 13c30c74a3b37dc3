"""What the report stage draws and writes."""
