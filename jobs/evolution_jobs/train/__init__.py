"""The stage program `train`: one round of supervised fine-tuning with DeepSpeed, over one or more pods and processes."""
