"""The schemas: compiled from the models, deployed in one transaction."""

from geomill.database.schema.deploy import SCHEMA_VERSION, SchemaState, deploy, state

__all__ = ["SCHEMA_VERSION", "SchemaState", "deploy", "state"]
