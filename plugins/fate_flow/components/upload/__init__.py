"""Upload: a text file of the server becomes a raw table."""
