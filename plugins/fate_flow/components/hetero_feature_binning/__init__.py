"""HeteroFeatureBinning: bins of all parties' columns, and what the guest's labels say about them."""
