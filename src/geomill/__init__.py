"""geomill turns raw geodata into published, queryable, mapped datasets on PostgreSQL."""

__version__ = "0.1.0"
