"""The tiny model: its architecture, words and pre-training, and the card beside its weights."""
