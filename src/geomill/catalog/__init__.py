"""What a dataset says about itself, and the one transaction that publishes it."""
