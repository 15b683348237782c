"""What in a folder of images a person should look at before it leaves the house."""
