"""How numbers and days are written, where Django does not say it as people do."""
