"""DataIO: raw rows become instances; missing values, outliers, types, label."""
