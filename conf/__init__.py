"""The registry: every data set, generator, encoder, evaluator and experiment that can be chosen is a file here."""
