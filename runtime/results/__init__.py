"""Results: the native JSON Lines file, writers and readers of other formats, joint angles, conversion (docs/formats.md)."""
