"""What is asked of a device, and what became of it."""
