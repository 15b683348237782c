"""Weights & Biases, in a process of its own: a run does not depend on it."""
