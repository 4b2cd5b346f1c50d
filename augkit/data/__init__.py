"""Images, masks and their random numbers, in memory and in files."""
