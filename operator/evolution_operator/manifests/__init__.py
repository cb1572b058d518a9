"""Whole Kubernetes manifests of a run's children: pure functions of the run and the operator's settings."""
