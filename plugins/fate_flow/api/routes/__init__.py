"""One module per group of routes, mounted below its prefix."""
