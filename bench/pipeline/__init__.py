"""A run: what is decided before any work, and the stages that do it."""
