"""Apps for the workers under test.  A test may import one, unless it listens to signals."""
