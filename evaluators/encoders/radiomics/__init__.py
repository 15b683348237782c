"""Radiomic features, one file a family (IBSI, arXiv:1612.07003)."""
