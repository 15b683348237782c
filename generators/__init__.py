"""Generators, one file a family; each knows ``bench.api`` and no other plug-in."""
