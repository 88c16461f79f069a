"""All settings, read from the environment (and `.env`) here and nowhere else.

A value that cannot be understood does not raise here: it is noted in `PROBLEMS`, its default is
used so that Django can load, and `iotplatform/checks.py` turns the note into a check error.
"""

import secrets
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

from corsheaders.defaults import default_headers
from django.core.exceptions import ImproperlyConfigured

from iotplatform import embedded, logs, look
from iotplatform.csp import DIRECTIVES
from iotplatform.environment import (
    BASE_DIR,
    NO_ADDRESS,
    PROBLEMS,
    address,
    choice,
    env,
    flag,
    log_level,
    read,
)
from iotplatform.kept import kept_secret

# The process -----------------------------------------------------------------------------------

DATABASE_URL = read(env.str, "DATABASE_URL", "")
# Nothing configured is a trial on this machine. A configured database may hold real data, so from
# there on debugging has to be asked for.
DEBUG = read(flag, "DEBUG", not DATABASE_URL)
LOCAL_DIR = Path(read(env.str, "LOCAL_DIR", str(BASE_DIR / ".local"))).resolve()
BIND = read(env.str, "BIND", "127.0.0.1")
PORT = read(env.int, "PORT", 8000)
# Processes of the web server, and requests that each of them answers at a time.
WEB_WORKERS = read(env.int, "WEB_WORKERS", 1 if DEBUG else 2)
WEB_THREADS = read(env.int, "WEB_THREADS", 32)
NUM_PROXIES = read(env.int, "NUM_PROXIES", 0)

LOCAL_NAMES = ["localhost", "127.0.0.1", "[::1]"]
ALLOWED_HOSTS = read(env.list, "ALLOWED_HOSTS", LOCAL_NAMES if DEBUG else [])
CSRF_TRUSTED_ORIGINS = read(env.list, "CSRF_TRUSTED_ORIGINS", [])
CORS_ALLOWED_ORIGINS = read(env.list, "CORS_ALLOWED_ORIGINS", [])


def secret(name: str) -> str:
    """The secret `name`; in a trial a random one is made once and kept in LOCAL_DIR."""
    if value := read(env.str, name, ""):
        return str(value)
    if not DEBUG:
        PROBLEMS.append((name, "It is not set."))
        # Never used: the note above stops the start. Django only has to load until then.
        return secrets.token_urlsafe(48)
    return kept_secret(LOCAL_DIR, name.lower())


SECRET_KEY = secret("SECRET_KEY")
JWT_SECRET = secret("JWT_SECRET")

# MQTT ------------------------------------------------------------------------------------------

MQTT_PORT = read(env.int, "MQTT__PORT", 1883)
MQTT_EMBEDDED = not read(env.str, "MQTT__HOST", "")
MQTT_HOST = read(env.str, "MQTT__HOST", "127.0.0.1")
MQTT_DEVICES = read(env.str, "MQTT__DEVICES", f"{MQTT_HOST}:{MQTT_PORT}")
MQTT_USERNAME = read(env.str, "MQTT__USERNAME", "")
MQTT_PASSWORD = read(env.str, "MQTT__PASSWORD", "")
MQTT_TLS = read(flag, "MQTT__TLS", False)
MQTT_CA = read(env.str, "MQTT__CA", "")
MQTT_TOPIC = read(env.str, "MQTT__TOPIC", "+/devices/+/telemetry")
MQTT_CLIENT_ID = read(env.str, "MQTT__CLIENT_ID", "iotplatform")

# Who keeps strangers out of the broker: nobody (open, or by means of the broker's own), EMQX, which
# asks us, or Mosquitto, which is told by us.
MQTT_ACCESS = read(choice("open", "emqx", "mosquitto"), "MQTT__ACCESS", "open")
MQTT_INGEST_PASSWORD = read(env.str, "MQTT__INGEST_PASSWORD", "")
MQTT_DISPATCH_PASSWORD = read(env.str, "MQTT__DISPATCH_PASSWORD", "")
MQTT_HOOK_SECRET = read(env.str, "MQTT__HOOK_SECRET", "")
EMQX_API_URL = read(env.str, "EMQX__API_URL", "")
EMQX_API_KEY = read(env.str, "EMQX__API_KEY", "")
EMQX_API_SECRET = read(env.str, "EMQX__API_SECRET", "")

# The embedded broker speaks 3.1.1 to devices on MQTT__PORT and MQTT 5 to the platform beside it.
MQTT_PLATFORM_PORT = MQTT_PORT + 1 if MQTT_EMBEDDED else MQTT_PORT

# Ingest ----------------------------------------------------------------------------------------

ENROLMENT = read(flag, "ENROLMENT", False)
# Who enrols shows a key; that a stranger only had to guess a topic would make it worthless.
AUTO_REGISTER = read(flag, "AUTO_REGISTER", not ENROLMENT)
DEDUPE_DAYS = read(env.int, "DEDUPE_DAYS", 7)
HISTORY_DAYS = read(env.int, "HISTORY_DAYS", 400)
REJECTED_DAYS = read(env.int, "REJECTED_DAYS", 90)
REJECTED_MAX = read(env.int, "REJECTED_MAX", 100_000)
MAX_PAYLOAD = read(env.int, "MAX_PAYLOAD", 256 * 1024)
AUTH_DEMO = read(flag, "AUTH_DEMO", False)

# Commands --------------------------------------------------------------------------------------

MAX_COMMAND = read(env.int, "MAX_COMMAND", 16 * 1024)
COMMAND_QUEUE = read(env.int, "COMMAND_QUEUE", 100)
COMMAND_RATE = read(env.int, "COMMAND_RATE", 20_000)

# Live streams ----------------------------------------------------------------------------------

# Each open stream holds a thread of the web server: what is left of its threads is for all else.
LIVE_STREAMS = read(env.int, "LIVE_STREAMS", 24)

# E-mail ----------------------------------------------------------------------------------------

# As smtp+tls://user:password@host:587. With nothing configured no e-mail is sent.
EMAIL = read(address(env.email_url), "EMAIL_URL", {})
EMAIL_FROM = DEFAULT_FROM_EMAIL = read(env.str, "EMAIL_FROM", "iotplatform@localhost")
globals().update(EMAIL)
PUBLIC_URL = read(env.str, "PUBLIC_URL", "")
WEBHOOK_ALLOW_PRIVATE = read(flag, "WEBHOOK_ALLOW_PRIVATE", False)

# Database --------------------------------------------------------------------------------------

POSTGRESQL = "django.db.backends.postgresql"


def database(url: str) -> dict[str, Any]:
    """Django's description of the database at `url`, or of the embedded one."""
    if not url:
        return embedded.database_settings(LOCAL_DIR)
    scheme, separator, rest = url.partition("://")
    try:
        # `postgresql+asyncpg://`, as the service before this one wrote it.
        parsed: dict[str, Any] = env.db_url_config(scheme.split("+")[0] + separator + rest)
        if parsed.get("ENGINE") == POSTGRESQL:
            return parsed
        problem = "It does not begin with postgresql://."
    except (ValueError, ImproperlyConfigured):
        # It may have a part of the password that was taken for a port.
        problem = NO_ADDRESS
    PROBLEMS.append(("DATABASE_URL", problem))
    return {"ENGINE": POSTGRESQL, "NAME": "unconfigured"}


DATABASES = {
    "default": {
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        **database(DATABASE_URL),
    }
}
DATABASES["default"]["ENGINE"] = "iotplatform.database"
DATABASES["default"]["OPTIONS"] = {
    "connect_timeout": 5,
    # A server that vanished without a word is noticed in seconds, not after TCP's two hours.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "application_name": f"iotplatform@{socket.gethostname()}",
    **DATABASES["default"].get("OPTIONS", {}),
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Applications ----------------------------------------------------------------------------------

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "rest_framework",
    # Without it a refresh token that was given back would go on working, without a word.
    "rest_framework_simplejwt.token_blacklist",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "corsheaders",
    "csp",
    "accounts",
    "devices",
    "telemetry",
    "iotplatform",
]

MIDDLEWARE = [
    "iotplatform.metrics.requests.measured",
    "devices.brokers.emqx.middleware.for_emqx",
    "django.middleware.security.SecurityMiddleware",
    "iotplatform.headers.for_browsers",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "iotplatform.machines.for_machines",
    "iotplatform.rest.middleware.for_programs",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.console.for_console",
    "django.contrib.messages.middleware.MessageMiddleware",
]

ROOT_URLCONF = "iotplatform.urls"
WSGI_APPLICATION = "iotplatform.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Accounts --------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
LOGIN_REDIRECT_URL = "admin:index"
# E-mail is unique by a constraint on its lower case, which the first check does not know. To HTTPS
# leads the proxy; names below ours (the other two) may be somebody else's.
SILENCED_SYSTEM_CHECKS = ["auth.W004", "security.W005", "security.W008", "security.W021"]
# The second one does nothing but with AUTH_DEMO.
AUTHENTICATION_BACKENDS = ["accounts.roles.RoleBackend", "accounts.demo.DemoBackend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

# REST API --------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        # The first one decides between 401 and 403 for somebody who is not logged in.
        "accounts.authentication.TokenAuthentication",
        # For the pages of the browsable API, by the console's login.
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.rest.ByRole"],
    "DEFAULT_PARSER_CLASSES": ["iotplatform.rest.bodies.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": [
        "iotplatform.rest.bodies.PassThroughJSONRenderer",
        "rest_framework.renderers.BrowsableAPIRenderer",
    ],
    "DEFAULT_PAGINATION_CLASS": "iotplatform.rest.pages.KeysetPagination",
    "DEFAULT_FILTER_BACKENDS": ["iotplatform.rest.filters.StrictFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "iotplatform.rest.schema.OperationSchema",
    "EXCEPTION_HANDLER": "iotplatform.rest.problems.exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SIMPLE_JWT = {
    "ALGORITHM": "HS256",
    "SIGNING_KEY": JWT_SECRET,
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=60),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=30),
    # Also as `token_type` spells it, which some clients put in front of the token as it is.
    "AUTH_HEADER_TYPES": ("Bearer", "bearer"),
    "USER_ID_CLAIM": "sub",
    # A new password ends all tokens that were given for the old one.
    "CHECK_REVOKE_TOKEN": True,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "IoT platform",
    "DESCRIPTION": "Devices, their readings, and the people who work with them.",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.0",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PUBLIC": True,
    # Whoever comes with an old token may read the document like everybody else.
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "COMPONENT_SPLIT_REQUEST": True,
    "PREPROCESSING_HOOKS": ["iotplatform.rest.schema.without_slash"],
}

# Apps on pages of other origins. Tokens travel in a header, so cookies are not let through.
CORS_ALLOW_ALL_ORIGINS = DEBUG and not CORS_ALLOWED_ORIGINS
CORS_URLS_REGEX = r"^/(?!admin)"
CORS_ALLOW_HEADERS = [*default_headers, "idempotency-key", "last-event-id"]
CORS_EXPOSE_HEADERS = [
    "Content-Disposition",
    "Idempotency-Replayed",
    "Link",
    "Location",
    "Retry-After",
    "WWW-Authenticate",
]

# Language, time, files -------------------------------------------------------------------------

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("vi", "Tiếng Việt")]
LOCALE_PATHS = [BASE_DIR / "locale", BASE_DIR / "locale" / "libraries"]
FORMAT_MODULE_PATH = "iotplatform.formats"
TIME_ZONE = "UTC"

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = DEBUG
# Nothing asks for a file by its plain name: half the time and the size.
WHITENOISE_KEEP_ONLY_HASHED_FILES = True

# HTTPS: production sits behind a proxy that ends TLS (docs/https.md) -----------------------------

if not DEBUG:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_COOKIE_SECURE = not DEBUG
CSRF_COOKIE_SECURE = not DEBUG
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# Said only where a page came by HTTPS.
SECURE_HSTS_SECONDS = 0 if DEBUG else read(env.int, "HSTS_SECONDS", 2_592_000)
CONTENT_SECURITY_POLICY = {"DIRECTIVES": DIRECTIVES}


# Health, metrics, logs -------------------------------------------------------------------------

# Where ingestor and dispatcher answer /healthz and /metrics; 0: nowhere.
METRICS_BIND = read(env.str, "METRICS_BIND", "127.0.0.1")
METRICS_PORT = read(env.int, "METRICS_PORT", 0)
METRICS_TOKEN = read(env.str, "METRICS_TOKEN", "")

LOG_LEVEL = read(log_level, "LOG_LEVEL", "INFO")
LOG_FORMAT = read(choice("line", "json"), "LOG_FORMAT", "line")
LOGGING = logs.configuration(LOG_LEVEL, LOG_FORMAT)

# The operator's console ------------------------------------------------------------------------

UNFOLD = look.UNFOLD
