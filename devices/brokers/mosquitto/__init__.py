"""Mosquitto's dynamic security: who may connect and do what is known to the broker itself."""
