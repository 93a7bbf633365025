"""FeatureScale: columns are brought to a common range or to mean 0 and deviation 1."""
