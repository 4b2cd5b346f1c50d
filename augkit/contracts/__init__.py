"""What a plugin may be, how it is found, what it is held to."""
