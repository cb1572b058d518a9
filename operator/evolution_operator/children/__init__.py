"""What a run is made of on a cluster: a file for each kind of child, which says all there is to know of it, and a registry.

Pure: what a kind does on one machine is said here and done by `local`, through the protocol `Machine`.
"""
