"""To and from others: other programs, co-authors."""
