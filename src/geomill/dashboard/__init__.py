"""The web page of geomill: static files that read the HTTP API only."""
