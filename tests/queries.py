"""What a request asks of the database."""

import json
from typing import Any

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext


def queries_of(client: Client, url: str, method: str = "get", **data: Any) -> list[str]:
    """The statements that it takes to answer a request."""
    with CaptureQueriesContext(connection) as captured:
        assert getattr(client, method)(url, data).status_code < 400
    return [query["sql"] for query in captured]


def plan_of(statement: str) -> list[dict[str, Any]]:
    """The nodes of PostgreSQL's plan for a statement, from the top down."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}")
        (answer,) = cursor.fetchone()
    waiting = [(json.loads(answer) if isinstance(answer, str) else answer)[0]["Plan"]]
    nodes = []
    while waiting:
        node = waiting.pop(0)
        nodes.append(node)
        waiting.extend(node.get("Plans", []))
    return nodes
