"""How the REST API behaves everywhere: what Django REST framework finds by its settings."""
