"""What devices say: ingest, history, rejected messages."""
