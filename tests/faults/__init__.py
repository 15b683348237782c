"""Faults on purpose: runs that are killed, files that are damaged, two processes in one folder."""
