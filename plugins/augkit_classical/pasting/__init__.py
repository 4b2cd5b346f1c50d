"""How objects get from one sample into another: on a CPU sample by sample, elsewhere the whole batch at once."""
