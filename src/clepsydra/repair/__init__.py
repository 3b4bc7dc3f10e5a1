"""What regular series lack or have too much of: gaps and outliers."""
