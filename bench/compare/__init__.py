"""Two sets of images in, a table with intervals out: no table of labels, no patients, no split needed."""

from bench.compare.table import compare

__all__ = ["compare"]
