"""What the application knows and does, without Qt: states as dataclasses, and workers that the widgets start and watch."""
