"""Presentation of results: pictures, class maps, tables, the report's page."""
