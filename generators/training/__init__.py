"""Training that gives the same bytes however often it was killed: what the generators that learn here share."""
