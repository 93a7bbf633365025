"""HeteroFeatureSelection: filters that keep the columns worth training with."""
