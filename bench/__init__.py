"""The core of the benchmark: nouns, verbs, records. It names no plug-in and imports no torch at module level."""

__version__ = "0.1.0"
