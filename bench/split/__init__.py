"""The split as a product: lists or sets that a model trained elsewhere can honour."""
