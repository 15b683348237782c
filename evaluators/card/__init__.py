"""The seven Cs of the synthetic medical data card (Zamzmi et al. 2025, doi:10.1038/s44172-025-00450-1).

The published card leaves pairing, estimators, units and normalisation open; the definitions here are well-posed
versions: everything is fitted on one frozen real reference, and each value stands beside what unseen real images score.
"""
