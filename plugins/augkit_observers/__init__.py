"""Observers of runs: the live display, a log in lines of JSON, and TensorBoard. Each is an entry point of its own."""
