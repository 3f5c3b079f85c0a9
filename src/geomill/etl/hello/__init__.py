"""The smallest job type: two stages that say hello."""
