"""What the application looks like: widgets paint a state and forward what the user does; nothing is decided in here."""
