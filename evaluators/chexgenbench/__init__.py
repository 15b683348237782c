"""The published CheXGenBench protocol, its slips included."""
