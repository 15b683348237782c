"""Is a classifier trained on synthetic images as good as one trained on real ones?"""
