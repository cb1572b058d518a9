"""The operator's half: the life cycle, the manifests, and the adapters that carry plans out."""
