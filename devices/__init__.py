"""The fleet: devices, what is known about them now, and the MQTT they speak."""
