"""The parts of `benchmarks/gpu.py`, each a program of its own."""
