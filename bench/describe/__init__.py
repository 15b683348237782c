"""``python -m bench.describe DIR``: from images and a table as they are to the settings of a data set."""
