"""The command that starts the application."""
