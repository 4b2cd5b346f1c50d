"""How good synthetic images are, and which images are copies of one photograph."""
