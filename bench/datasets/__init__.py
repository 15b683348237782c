"""Where real images come from: one module a data set, each giving a ``bench.api.Split``."""
