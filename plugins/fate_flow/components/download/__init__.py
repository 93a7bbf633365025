"""Download: a table becomes a text file on the server."""
