# Everything that a person or CI starts; each target sets up what it needs.
