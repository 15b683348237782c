"""Which metric sees which fault: the response of an evaluator to damage of known kind and grade."""
