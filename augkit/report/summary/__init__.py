"""What a report says first: what was studied and how, what speaks against it, and how good synthetic images are."""
