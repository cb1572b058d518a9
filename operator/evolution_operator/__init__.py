"""The operator's half: the planner, the manifests, the adapters that carry plans out, and the command line."""
