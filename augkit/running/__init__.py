"""Plan -> artifacts."""
