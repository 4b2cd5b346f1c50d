"""Artifacts -> verdict and pages."""
