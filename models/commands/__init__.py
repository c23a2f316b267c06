"""Commands that need PyTorch: ``vipose train`` and ``vipose export``."""
