"""The desktop application (to come): runtime and Qt, never models."""
