"""What the lines of the log look like: for people, or with LOG_FORMAT=json for machines."""

from typing import Any

import structlog

# No variables of functions that failed: they hold passwords, tokens and what devices say.
TRACEBACKS = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
JSON = {
    "()": structlog.stdlib.ProcessorFormatter,
    "foreign_pre_chain": [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(TRACEBACKS),
    ],
    "processors": [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.JSONRenderer(),
    ],
}
FORMATS = {
    "line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"},
    "json": JSON,
}


def configuration(level: str, form: str) -> dict[str, Any]:
    """For `logging.config.dictConfig`: all from `level` up to the standard error, in one `form`."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"chosen": FORMATS[form]},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "chosen"}},
        "root": {"handlers": ["console"], "level": level},
    }
