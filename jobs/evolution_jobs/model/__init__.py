"""The solver: prompts, packing, log-probabilities and answers of a Qwen3-VL checkpoint, and the tiny one that we ship."""
