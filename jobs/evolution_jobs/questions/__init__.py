"""Questions: the geometry that programs call, the sandbox they run in, the kinds, the filters, the scores."""
