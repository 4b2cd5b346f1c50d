"""What is compared with what, over images and seeds, and what may be said of it."""
