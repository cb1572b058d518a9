"""Scores a checkpoint on questions and scenes that it never trained on."""
