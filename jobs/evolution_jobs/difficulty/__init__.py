"""What makes a question easy, frontier or hard: one small file a rule, `rule.py` chooses."""
