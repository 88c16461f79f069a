"""The two facts about a device that are derived, never edited: its session and its flow of data.

One is what it said of its connection, the other whether its readings come: a device may hold a
connection and measure nothing, or measure and say nothing of its connection. PostgreSQL derives
the second one whenever it is read, so that silence needs nobody to notice it.
"""

from typing import Any

from django.db.models import DateTimeField, F, Func, TextChoices, TextField
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from accounts.words import sentence


class DataFlow(TextChoices):
    """Whether readings come without a pause longer than the type's `offline_after`."""

    FLOWING = "flowing", _("Flowing")
    SILENT = "silent", _("Silent")
    UNKNOWN = "unknown", _("Unknown")


class Fact(Func):
    """An expression over the columns of a device, its type and its state.

    Optimization: written as SQL, as Django takes longer to put a CASE together than PostgreSQL to
    answer.
    """

    columns = {
        "type": "type",
        "pause": "type__offline_after",
        "session": "state__session",
        "reason": "state__reason",
        "data_at": "state__data_at",
        "data_since": "state__data_since",
    }

    def __init__(self, sql: str, output_field: Any) -> None:
        used = {name: F(path) for name, path in self.columns.items() if f"{{{name}}}" in sql}
        super().__init__(*used.values(), output_field=output_field)
        self.sql = sql
        self.used = list(used)

    def as_sql(self, compiler: Any, connection: Any, *more: Any, **context: Any) -> Any:
        columns = [compiler.compile(source)[0] for source in self.get_source_expressions()]
        return self.sql.format(**dict(zip(self.used, columns, strict=True))), ()


IS_SILENT = "{data_at} < statement_timestamp() - {pause} * interval '1 second'"

SESSION_REASON = Fact(
    """CASE
        WHEN {reason} <> '' THEN {reason}
        WHEN {session} <> 'unknown' THEN 'It said so itself.'
        ELSE 'It has said nothing of its connection.'
    END""",
    TextField(),
)
DATA_FLOW = Fact(
    f"""CASE
        WHEN {{data_at}} IS NULL OR {{pause}} IS NULL THEN 'unknown'
        WHEN {IS_SILENT} THEN 'silent'
        ELSE 'flowing'
    END""",
    TextField(),
)
DATA_FLOW_SINCE = Fact(
    f"""CASE
        WHEN {{pause}} IS NULL THEN NULL
        WHEN {IS_SILENT} THEN {{data_at}} + {{pause}} * interval '1 second'
        ELSE {{data_since}}
    END""",
    DateTimeField(),
)
DATA_FLOW_REASON = Fact(
    f"""CASE
        WHEN {{data_at}} IS NULL THEN 'It has never sent a reading.'
        WHEN {{type}} IS NULL THEN 'It has no type that says how long it may be silent.'
        WHEN {{pause}} IS NULL THEN 'Its type has no offline_after: how long it may be silent.'
        WHEN {IS_SILENT} THEN 'No reading for more than ' || {{pause}} || ' s.'
        ELSE 'Readings come without a pause of more than ' || {{pause}} || ' s.'
    END""",
    TextField(),
)

for _said in (
    gettext_noop("It said so itself."),
    gettext_noop("It has said nothing of its connection."),
    gettext_noop("It has never sent a reading."),
    gettext_noop("It has no type that says how long it may be silent."),
    gettext_noop("Its type has no offline_after: how long it may be silent."),
    gettext_noop("No reading for more than {seconds} s."),
    gettext_noop("Readings come without a pause of more than {seconds} s."),
):
    sentence(_said)
