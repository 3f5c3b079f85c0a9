"""Jobs: what they are, how they are submitted, run, advanced and recovered."""
