"""MQTT 5 towards a broker. Knows topics and packets, no model and no database."""
