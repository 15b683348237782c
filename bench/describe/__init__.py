"""Look at a folder and a table, and write the configuration of a data set."""
