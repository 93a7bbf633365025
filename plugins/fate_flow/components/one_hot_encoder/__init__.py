"""OneHotEncoder: a column of few integers becomes one 0/1 column per value."""
