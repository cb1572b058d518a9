"""The stage program `train`: one round of supervised fine-tuning with DeepSpeed, over as many pods and processes as the spec says."""
