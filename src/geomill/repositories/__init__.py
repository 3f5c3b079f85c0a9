"""All SQL on geomill's tables and pgSTAC. Each takes a connection; none commits."""
