"""Which recipe to use: a race of candidates on development images, and one confirmation on images it never scored."""
