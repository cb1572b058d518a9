"""The EvolutionRun resource: spec and status, with every default, bound and rule that the CRD's schema states.

Defaults are those of Ouroboros-Spatial (arXiv 2606.11719) where it has one. A rule that joins fields is a `Rule` of
the class that owns them: a CEL expression for the API server and the same test in Python for files.
"""
