"""What runs a pipeline: the file driver (every frame) and the live driver (newest frame wins)."""
