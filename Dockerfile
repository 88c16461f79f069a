# The production image: web server, ingestor and every management command. No embedded server is in
# it; PostgreSQL and the MQTT broker are named by DATABASE_URL and MQTT__HOST.
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DEBUG=0

RUN useradd --system --uid 10001 --no-create-home app
WORKDIR /app

COPY requirements.txt ./
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.txt

COPY manage.py ./
COPY accounts accounts
COPY devices devices
COPY telemetry telemetry
COPY iotplatform iotplatform
COPY templates templates
RUN python manage.py collectstatic --noinput

USER app
EXPOSE 8000
CMD ["gunicorn", "iotplatform.wsgi", "--bind", "0.0.0.0:8000", "--worker-class", "gthread", \
     "--workers", "2", "--threads", "8", "--graceful-timeout", "5", "--no-control-socket", \
     "--worker-tmp-dir", "/dev/shm"]
