"""Pure functions of arrays: resampling, estimates, distances, neighbours."""
