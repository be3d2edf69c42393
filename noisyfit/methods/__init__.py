"""One folder a method; none imports from another."""
