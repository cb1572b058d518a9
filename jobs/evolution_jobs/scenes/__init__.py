"""Rooms: made by seed or read from a benchmark, drawn by ray casting, kept as prepared scenes and read back."""
