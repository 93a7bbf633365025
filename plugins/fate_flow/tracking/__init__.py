"""What jobs leave to look at: metrics, job views, task rows, data views, version records."""
