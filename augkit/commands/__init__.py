"""The commands: one module per topic. Imports that cost time stay inside the functions."""
