"""Recipe text -> frozen plan; nothing is computed, and torch is not imported."""
