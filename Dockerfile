# The production image: web server, ingestor and every management command. No embedded server is in
# it; PostgreSQL and the MQTT broker are named by DATABASE_URL and MQTT__HOST.
FROM python:3.11.16-slim-trixie AS base
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DEBUG=0
WORKDIR /app

FROM base AS build
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements.txt ./
RUN python -m venv --without-pip /venv
RUN pip --python /venv/bin/python install --quiet --require-hashes -r requirements.txt
COPY manage.py ./
COPY LICENSE ./
COPY accounts accounts
COPY devices devices
COPY telemetry telemetry
COPY iotplatform iotplatform
COPY templates templates
COPY locale locale
# Swagger UI is served from the same package; Redoc is not.
RUN python manage.py collectstatic --noinput --ignore redoc
# Nothing can be written where this runs, so it is translated for Python here.
RUN python -m compileall -q /app
# Whatever the umask was under which the sources were checked out.
RUN chmod -R go+rX /app

FROM base
ARG REVISION=""
LABEL org.opencontainers.image.title="iotplatform" \
      org.opencontainers.image.version="1.0.0" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="MIT"
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin app
COPY --from=build /venv /venv
COPY --from=build /app /app
# Secrets of a trial; a volume that is mounted here takes over its owner.
RUN install --directory --owner=app --group=app --mode=700 /app/.local
USER app
EXPOSE 8000
CMD ["gunicorn", "-c", "python:iotplatform.serving", "--bind", "0.0.0.0:8000", "iotplatform.wsgi"]
