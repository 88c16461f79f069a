"""Every address of the platform beside the admin site, and who may do what there."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from django.contrib.admindocs.views import simplify_regex
from django.urls import get_resolver

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""In the order of the columns below; HEAD is as GET."""
WITHOUT_TABLE = "admin/", "metrics", "readyz"
"""Beginning of the addresses that have tests of their own."""

# Whoever has at least this role may. With a minus there is nothing of the kind: whoever could do it
# elsewhere (the role after the minus, or everybody who is logged in) hears that, 405, and others
# that they may not, 403. What is for a device and its token is for no person: 401.
TABLE = """
                                   GET       POST       PUT  PATCH      DELETE     OPTIONS
/auth/login                        -anyone   anyone     -anyone -anyone -anyone    anyone
/auth/refresh                      -anyone   anyone     -anyone -anyone -anyone    anyone
/auth/logout                       -anyone   anyone     -anyone -anyone -anyone    anyone
/auth/me                           viewer    -          -    -          -          viewer
/auth/password                     -         viewer     -    -          -          viewer
/users                             admin     admin      -    -admin     -staff     admin
/users/<pk>                        admin     -admin     -    admin      -staff     admin
/tenants                           admin     staff      -    -admin     -staff     admin
/tenants/<slug>                    admin     -staff     -    admin      staff      admin
/devices                           viewer    operator   -    -operator  -operator  viewer
/devices/<device_uid>              viewer    -operator  -    operator   operator   viewer
/devices/<device_uid>/command      -viewer   operator   -    -operator  -staff     viewer
/devices/<device_uid>/commands     viewer    -operator  -    -operator  -staff     viewer
/devices/<device_uid>/credentials  operator  operator   -    -operator  -staff     operator
/devices/<device_uid>/credentials/<id> \
                                   operator  -operator  -    operator   operator   operator
/devices/<device_uid>/access       operator  -operator  -    -operator  -staff     operator
/credentials                       -operator operator   -    -operator  -staff     operator
/commands                          viewer    operator   -    -operator  -staff     viewer
/commands/<id>                     viewer    -operator  -    -operator  -staff     viewer
/commands/<id>/cancel              -viewer   operator   -    -operator  -staff     viewer
/command-batches                   viewer    -operator  -    -operator  -staff     viewer
/command-batches/<id>              viewer    -operator  -    -operator  -staff     viewer
/command-batches/<id>/cancel       -viewer   operator   -    -operator  -staff     viewer
/device-types                      viewer    admin      -    -admin     -admin     viewer
/device-types/<id>                 viewer    -admin     -    admin      admin      viewer
/enroll                            -anyone   anyone     -anyone -anyone -anyone    anyone
/enrolment-keys                    admin     admin      -    -admin     -admin     admin
/enrolment-keys/<id>               admin     -admin     -    admin      admin      admin
/enrolment-keys/<id>/devices       admin     -admin     -    -admin     -admin     admin
/alerts                            viewer    -staff     -    -staff     -staff     viewer
/import/devices                    -         operator   -    -operator  -operator  viewer
/import/credentials                -operator operator   -    -operator  -staff     operator
/export/devices                    viewer    -operator  -    -operator  -operator  viewer
/rejected                          operator  -operator  -    -operator  -staff     operator
/rejected/<pk>                     operator  -operator  -    -operator  -staff     operator
/rejected/<pk>/replay              -operator operator   -    -operator  -staff     operator
/rejected/<pk>/resolve             -operator operator   -    -operator  -staff     operator
/telemetry/<device_uid>            viewer    device     -    -staff     -staff     viewer
/telemetry/<device_uid>/latest     viewer    -staff     -    -staff     -staff     viewer
/telemetry/<device_uid>/keys       viewer    -staff     -    -staff     -staff     viewer
/telemetry/<device_uid>/series     viewer    -staff     -    -staff     -staff     viewer
/telemetry/<device_uid>/export     viewer    -staff     -    -staff     -staff     viewer
/live/telemetry                    viewer    -staff     -    -staff     -staff     viewer
/live/commands                     viewer    -operator  -    -operator  -staff     viewer
/schema                            anyone    -anyone    -anyone -anyone -anyone    anyone
/docs                              anyone    -anyone    -anyone -anyone -anyone    -anyone
/favicon.ico                       anyone    anyone     anyone  anyone  anyone     anyone
/internal/mqtt/auth                anyone    anyone     anyone  anyone  anyone     anyone
/internal/mqtt/acl                 anyone    anyone     anyone  anyone  anyone     anyone
/healthz                           anyone    -anyone    -anyone -anyone -anyone    -anyone
/                                  anyone    anyone     anyone  anyone  anyone     anyone
"""


class Right(NamedTuple):
    """What it takes to do something with a route, or to hear that it cannot be done."""

    is_offered: bool
    role: str


def rights() -> dict[str, dict[str, Right]]:
    """Route → method → right."""
    lines = [line.split() for line in TABLE.splitlines()[2:]]
    table = {route: dict(zip(METHODS, map(right, cells), strict=True)) for route, *cells in lines}
    return {route: methods | {"HEAD": methods["GET"]} for route, methods in table.items()}


def right(cell: str) -> Right:
    return Right(not cell.startswith("-"), cell.removeprefix("-") or "viewer")


def routes(patterns: Any = None, before: str = "") -> Iterator[str]:
    """Every route that the resolver knows, as the table writes them."""
    for each in get_resolver().url_patterns if patterns is None else patterns:
        address = before + str(each.pattern).removeprefix("^")
        if address.startswith(WITHOUT_TABLE):
            continue
        if hasattr(each, "url_patterns"):
            yield from routes(each.url_patterns, address)
        else:
            yield simplify_regex(address).removesuffix("/") or "/"


def id_in(world: Any, route: str) -> Any:
    """What stands for <id> in a route, of a world with one of each kind."""
    if route.startswith("/device-types"):
        return world.kind.pk
    if route.startswith("/enrolment-keys"):
        return world.key.pk
    if route.endswith("/credentials/<id>"):
        return world.credential.pk
    return world.batch.pk if route.startswith("/command-batches") else world.command.id
