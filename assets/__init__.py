"""The demo clip and the icon."""
