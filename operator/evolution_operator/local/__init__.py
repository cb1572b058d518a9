"""The adapter that carries plans out on one machine: the cluster's manifests as processes, its objects as files."""
