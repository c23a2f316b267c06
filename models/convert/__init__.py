"""Other people's graphs and checkpoints made into graphs that vipose runs."""
