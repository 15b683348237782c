"""Tests of what is looked for in a folder that is to be shared."""
