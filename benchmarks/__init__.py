"""Measurements of the platform against what it replaces and against the ceiling of its database."""
