"""Does the generator give away which patients it learned from?"""
