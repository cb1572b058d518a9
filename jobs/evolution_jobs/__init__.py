"""The programs that run in pods: prepare, generate, serve, probe, train, evaluate, cleanup."""
