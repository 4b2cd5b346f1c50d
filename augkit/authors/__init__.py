"""For plugin authors: the conformance kit, the reference, new packages."""
