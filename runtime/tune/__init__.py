"""Measuring this machine once, and keeping the most accurate setting that holds a frame rate."""
