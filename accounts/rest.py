"""What the endpoints of all applications have in common."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any, cast

from django.db.models import F, Func, QuerySet, TextField, Value
from drf_spectacular.utils import extend_schema_field
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import DjangoModelPermissions
from rest_framework.request import Request
from rest_framework.serializers import CharField, DateTimeField, Field, Serializer

from accounts.models import User
from accounts.moments import parse_moment


def person(request: Request) -> User:
    """Who asks. Permissions let nobody through who is not logged in."""
    return cast(User, request.user)


class ByRole(DjangoModelPermissions):
    """What the table in `accounts/roles.py` grants for the model of a view's `queryset`."""

    perms_map = {
        "GET": ["%(app_label)s.view_%(model_name)s"],
        "OPTIONS": ["%(app_label)s.view_%(model_name)s"],
        "HEAD": ["%(app_label)s.view_%(model_name)s"],
        "POST": ["%(app_label)s.add_%(model_name)s"],
        "PATCH": ["%(app_label)s.change_%(model_name)s"],
        "DELETE": ["%(app_label)s.delete_%(model_name)s"],
    }

    def _queryset(self, view: Any) -> QuerySet[Any]:
        # Optimization: only its model is asked for, so what a request narrows it to need not be.
        return cast(QuerySet[Any], view.queryset)


class FileNegotiation(DefaultContentNegotiation):
    """What a client accepts does not matter: `as` says what is sent, and errors are JSON."""

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[Any, str]:
        return renderers[0], renderers[0].media_type


class StrictFields(Serializer):
    """Refuses what it does not know: a field with a typing error would be lost in silence."""

    shown: Collection[str] = ()
    """Fields that answers have, though this serializer need not: not unknown, but not to be set."""

    def to_internal_value(self, data: Any) -> Any:
        settable = {name for name, field in self.fields.items() if not field.read_only}
        refused = sorted(set(data) - settable) if isinstance(data, dict) else []
        if refused:
            raise ValidationError({str(name): [self._refusal(name, settable)] for name in refused})
        if isinstance(data, dict):
            self._require_texts(data)
        return super().to_internal_value(data)

    def _refusal(self, name: str, settable: Collection[str]) -> ErrorDetail:
        if name in self.fields or name in self.shown:
            return ErrorDetail("It cannot be set. Leave it out.", "read_only")
        possible = ", ".join(sorted(settable)) or "none"
        return ErrorDetail(f"There is no such field to set. Possible: {possible}.", "unknown")

    def _require_texts(self, data: dict[str, Any]) -> None:
        """A number is no name, though REST framework would make it one."""
        wrong = [
            name
            for name, field in self.fields.items()
            if isinstance(field, CharField) and isinstance(data.get(name), int | float)
        ]
        if wrong:
            raise ValidationError({name: ["Put it in quotes: it is a text."] for name in wrong})


class JSONRow(Func):
    """A row as a text of JSON, made by PostgreSQL.

    Optimization: for lists; a serializer would take eight to ten times as long.
    """

    function = "json_build_object"
    template = "%(function)s(%(expressions)s)::text"
    output_field = TextField()

    def __init__(self, **fields: Any) -> None:
        pairs: list[Any] = []
        for name, source in fields.items():
            pairs += [
                Value(name, TextField()),
                F(source) if isinstance(source, str) else source,
            ]
        super().__init__(*pairs)


def json_array(rows: Iterable[Any] | None) -> bytes:
    """One text of JSON out of the rows of a queryset with an annotation `json`."""
    return f"[{','.join([row.json for row in rows or ()])}]".encode()


class Moment(DateTimeField):
    """A point in time in ISO 8601; UTC where it names no offset."""

    def to_internal_value(self, value: Any) -> datetime:
        try:
            return parse_moment(str(value))
        except ValueError as error:
            raise ValidationError(str(error), "invalid") from error


def require_once(name: str, values: list[str]) -> None:
    """Refuses a parameter that is given twice: only the last would count, the others be lost."""
    if len(values) > 1:
        raise ValidationError({name: [ErrorDetail("It is given twice. Give it once.", "twice")]})


class QueryParameters(Serializer):
    """What may follow the “?” of an address; refuses what it does not know."""

    @classmethod
    def read(cls, request: Request, ignore: Collection[str] = ()) -> dict[str, Any]:
        """The parameters of `request`; those in `ignore` belong to somebody else."""
        if not request.query_params:
            return dict(cls.of_nothing())
        parameters = cls(data=request.query_params.dict())
        unknown = set(request.query_params) - set(parameters.fields) - {"format", *ignore}
        if unknown:
            possible = ", ".join([*parameters.fields, *ignore]) or "none"
            error = ErrorDetail(f"There is no such parameter. Possible: {possible}.", "unknown")
            raise ValidationError({name: [error] for name in sorted(unknown)})
        for name in map(str, parameters.fields):
            require_once(name, request.query_params.getlist(name))
        parameters.is_valid(raise_exception=True)
        return dict(parameters.validated_data)

    @classmethod
    @cache
    def of_nothing(cls) -> Mapping[str, Any]:
        """What no parameter at all means. Optimization: it is what is asked for most often."""
        parameters = cls(data={})
        parameters.is_valid(raise_exception=True)
        return cast(Mapping[str, Any], parameters.validated_data)


def nothing_in(request: Request) -> None:
    """Refuses a body with fields, and parameters, where there are none to give."""
    QueryParameters.read(request)
    StrictFields(data=request.data).is_valid(raise_exception=True)


# Without examples, here and elsewhere: Swagger UI would send them unless they are taken out.
@extend_schema_field({"type": "string"})
class Keys(Field):
    """Names of a payload's keys, separated by commas: a list of 1 to `most` of them."""

    def __init__(self, most: int = 100, **options: Any) -> None:
        super().__init__(**options)
        self.most = most

    def to_internal_value(self, value: str) -> list[str]:
        keys = list(dict.fromkeys(key for key in value.split(",") if key))
        if not 1 <= len(keys) <= self.most:
            raise ValidationError(f"Give 1 to {self.most} keys, separated by commas.")
        if "\0" in value:
            raise ValidationError("Remove the character NUL.")
        return keys

    def to_representation(self, value: list[str]) -> str:
        return ",".join(value)
