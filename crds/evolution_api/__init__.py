"""The contract: what a user writes, what the operator reports, and what the programs hand to one another.

Pydantic and the standard library only; every other package of the project may import this one.
"""
