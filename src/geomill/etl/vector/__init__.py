"""A vector file becomes a PostGIS table and a STAC Item."""
