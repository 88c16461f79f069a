"""Who may use the platform: tenants, users, roles. Imports nothing of the project."""
