"""Graphs that ship, a card beside each."""
