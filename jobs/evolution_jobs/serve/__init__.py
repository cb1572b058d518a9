"""The model server beside a stage: the solver behind KServe's V1 protocol, or the proposer behind OpenAI's."""
