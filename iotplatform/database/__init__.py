"""Django's PostgreSQL, but a connection is looked at before its next use without a round trip."""
