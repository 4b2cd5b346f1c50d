"""The machine below a run: memory that is kept, the cores that others use, and threads that wait for work."""
