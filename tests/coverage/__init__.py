"""Do intervals hold the truth as often as they say, and are nulls free of bias, on data like real images?

``python -m tests.coverage`` draws samples from populations whose truth is known and counts.
"""
