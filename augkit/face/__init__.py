"""augkit from Python: what ``import augkit`` offers a notebook, made of the same parts as the commands."""
