"""HeteroFeatureBinning: bins of all parties' columns, and what the labels say about them."""
