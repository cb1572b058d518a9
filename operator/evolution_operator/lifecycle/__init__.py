"""The life cycle of a run, pure: start with `planner`."""
