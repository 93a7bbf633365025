"""ModelStore and ModelRestore: a party's model as an archive in a store, and back."""
