"""The adapter that carries plans out on a cluster: reads and writes of the API server, woken by Kopf. Started by `__main__`."""
