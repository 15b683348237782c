"""Finished images as a data set that leaves the house, with a card to complete."""
