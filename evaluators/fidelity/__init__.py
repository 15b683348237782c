"""Do synthetic images look like the test images, as a set?"""
