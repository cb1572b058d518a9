"""The solver's model server: a checkpoint behind KServe's V1 protocol."""
