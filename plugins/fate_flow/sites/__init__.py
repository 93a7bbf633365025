"""Other sites: who they are, how trust with them is made, and what is said to them."""
