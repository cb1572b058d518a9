"""Who is measured by `orchestration.py`, and how it is driven: each makes the next child when the one under way has ended."""
