"""Encoders: images in, rows of features out, one file a kind."""
