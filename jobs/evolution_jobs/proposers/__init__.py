"""Who writes the questions: a grammar steered by feedback, or a model; `proposer.py` says what they share."""
