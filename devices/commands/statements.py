"""The statements of the outbox (devices/commands/outbox.py), each with what it has to hold to."""

# Optimization: PostgreSQL keeps its plan for checking foreign keys as long as a connection lives.
# Made while the tables are nearly empty, it reads all of them for each of the next 10,000 rows.
BY_INDEX = "SET LOCAL enable_seqscan = off"

ADD = """
INSERT INTO devices_devicequeue AS queue (device_id, look_at, attempts)
SELECT device_id, statement_timestamp(), 0 FROM unnest(%s::bigint[]) AS device_id ORDER BY 1
ON CONFLICT (device_id) DO UPDATE SET look_at = least(queue.look_at, excluded.look_at)
"""

# A row for every device that comes back, whether or not a command is seen to wait for it: one may
# be on its way into the table, and whoever brings it waits for this row.
RESUME = """
INSERT INTO devices_devicequeue AS queue (device_id, look_at, resumed_at, attempts)
SELECT device_id, CASE WHEN EXISTS (
        SELECT FROM devices_command AS command
        WHERE command.device_id = back.device_id
          AND finished_at IS NULL AND status IN ('queued', 'sent')
    ) THEN statement_timestamp() END, statement_timestamp(), 0
FROM unnest(%s::bigint[]) AS back (device_id) ORDER BY 1
ON CONFLICT (device_id) DO UPDATE SET
    look_at = coalesce(excluded.look_at, queue.look_at), resumed_at = excluded.resumed_at,
    leased_until = NULL, attempts = 0
"""
RESUME_ALL = """
WITH everyone AS (SELECT device_id FROM devices_devicequeue ORDER BY device_id FOR UPDATE)
UPDATE devices_devicequeue AS queue
SET look_at = statement_timestamp(), resumed_at = statement_timestamp(),
    leased_until = NULL, attempts = 0
FROM everyone WHERE queue.device_id = everyone.device_id
"""

# What nobody can say an end of any more: its life is over.
EXPIRE = """
WITH over AS (
    SELECT number FROM devices_command
    WHERE finished_at IS NULL AND expires_at <= statement_timestamp()
    ORDER BY expires_at LIMIT %s FOR UPDATE SKIP LOCKED
), expired AS (
    UPDATE devices_command AS command SET status = 'expired', finished_at = expires_at
    FROM over WHERE command.number = over.number
    RETURNING command.number, expires_at, reason
)
INSERT INTO devices_commandtransition (command_id, status, at, by, detail)
SELECT number, 'expired', expires_at, '', reason FROM expired
"""

DUE = """
SELECT device_id FROM devices_devicequeue
WHERE look_at <= statement_timestamp()
  AND (leased_until IS NULL OR leased_until <= statement_timestamp())
ORDER BY look_at LIMIT %s FOR UPDATE SKIP LOCKED
"""

# A statement of its own, after the locks: it sees all that others did before they gave them up.
LOOK = """
SELECT queue.device_id, slug, device_uid, first.number, CASE
    WHEN first.number IS NULL THEN 'idle'
    WHEN NOT is_enabled THEN 'disabled'
    WHEN session = 'offline' THEN 'offline'
    ELSE 'ready'
END
FROM devices_devicequeue AS queue
JOIN devices_device AS device ON device.id = queue.device_id
JOIN accounts_tenant AS tenant ON tenant.id = device.tenant_id
LEFT JOIN devices_devicestate AS state ON state.device_id = queue.device_id
LEFT JOIN LATERAL (
    SELECT number FROM devices_command AS command
    WHERE command.device_id = queue.device_id
      AND finished_at IS NULL AND status IN ('queued', 'sent') AND withdrawn_at IS NULL
      AND expires_at > statement_timestamp()
      AND (published_at IS NULL OR published_at < resumed_at)
    ORDER BY number LIMIT 1
) AS first ON true
WHERE queue.device_id = ANY(%s)
"""

# Whoever changes a command at this moment, a person who cancels it or its device that answers, is
# not waited for: the device is looked at again.
CLAIM = """
WITH free AS (
    SELECT number FROM devices_command
    WHERE number = ANY(%s) AND finished_at IS NULL AND status IN ('queued', 'sent')
      AND withdrawn_at IS NULL
    FOR UPDATE SKIP LOCKED
)
UPDATE devices_command AS command
SET claimed_at = coalesce(claimed_at, statement_timestamp()), reason = ''
FROM free WHERE command.number = free.number
RETURNING device_id, command.number, id, cmd, params,
    extract(epoch FROM expires_at - statement_timestamp())::float8, statement_timestamp()
"""

# A device that is away is woken by its next session. It is looked at now and then as well, as it
# costs little and nothing is known for certain.
LOOKED = """
UPDATE devices_devicequeue AS queue SET
    leased_until = CASE verdict
        WHEN 'ready' THEN statement_timestamp() + %(lease)s * interval '1 second'
    END,
    attempts = CASE verdict WHEN 'ready' THEN attempts + 1 ELSE attempts END,
    look_at = CASE verdict
        WHEN 'idle' THEN NULL
        WHEN 'busy' THEN statement_timestamp() + interval '0.1 second'
        WHEN 'disabled' THEN statement_timestamp() + interval '1 minute'
        WHEN 'offline' THEN statement_timestamp() + (5 + 5 * random()) * interval '1 minute'
        ELSE look_at
    END
FROM unnest(%(devices)s::bigint[], %(verdicts)s::text[]) AS looked (device_id, verdict)
WHERE queue.device_id = looked.device_id
RETURNING queue.device_id, leased_until
"""

NEXT = """
SELECT extract(epoch FROM look_at - statement_timestamp())::float8 FROM devices_devicequeue
WHERE look_at > statement_timestamp() ORDER BY look_at LIMIT 1
"""

# Only to be read by people: what somebody else changes at this moment is passed over.
SAY_WHY = """
WITH waiting AS (
    SELECT number, looked.reason FROM devices_command AS command
    JOIN unnest(%(devices)s::bigint[], %(reasons)s::text[]) AS looked (device_id, reason)
        ON looked.device_id = command.device_id
    WHERE finished_at IS NULL AND status = 'queued' AND command.reason <> looked.reason
    FOR UPDATE OF command SKIP LOCKED
)
UPDATE devices_command AS command SET reason = waiting.reason
FROM waiting WHERE command.number = waiting.number
"""
LOCK_QUEUES = """
SELECT FROM devices_devicequeue WHERE device_id = ANY(%s) ORDER BY device_id FOR UPDATE
"""
LOCK = "SELECT FROM devices_command WHERE number = ANY(%s) ORDER BY number FOR UPDATE"

# Whatever else happened to it meanwhile: that the broker took it is a fact.
TAKEN = """
WITH taken AS (
    SELECT command.number, status AS former, outcome.claimed_at AS published,
        statement_timestamp() - age * interval '1 second' AS at,
        published_at IS NULL OR published_at < outcome.claimed_at AS is_news
    FROM devices_command AS command
    JOIN unnest(%(numbers)s::bigint[], %(times)s::timestamptz[], %(ages)s::float8[])
        AS outcome (number, claimed_at, age) ON outcome.number = command.number
), sent AS (
    UPDATE devices_command AS command
    SET sent_at = least(sent_at, at), published_at = published, reason = '',
        status = CASE status WHEN 'queued' THEN 'sent' ELSE status END
    FROM taken WHERE command.number = taken.number AND is_news
    RETURNING command.number, status, former, at
)
INSERT INTO devices_commandtransition (command_id, status, at, by, detail)
SELECT number, 'sent', at, '',
    CASE former WHEN 'sent' THEN 'Published again, as its device had not answered.' ELSE '' END
FROM sent WHERE status = 'sent'
"""

# It is certain that nobody has a command only if that was certain of all attempts before.
NOT_TAKEN = """
UPDATE devices_command AS command SET
    reason = outcome.reason,
    claimed_at = CASE
        WHEN is_certain AND command.claimed_at = outcome.claimed_at THEN NULL
        ELSE command.claimed_at
    END
FROM unnest(
    %(numbers)s::bigint[], %(times)s::timestamptz[], %(reasons)s::text[], %(certain)s::bool[]
) AS outcome (number, claimed_at, reason, is_certain)
WHERE command.number = outcome.number AND status IN ('queued', 'sent')
"""

# Somebody would have cancelled it while it was in hand.
CALL_OFF = """
WITH over AS (
    UPDATE devices_command
    SET status = 'cancelled', finished_at = statement_timestamp(), reason = ''
    WHERE number = ANY(%(numbers)s)
      AND status = 'queued' AND claimed_at IS NULL AND withdrawn_at IS NOT NULL
    RETURNING number
)
INSERT INTO devices_commandtransition (command_id, status, at, by, detail)
SELECT number, 'cancelled', statement_timestamp(), '', 'The broker had passed it on to nobody.'
FROM over
"""

FAIL = """
WITH failed AS (
    UPDATE devices_command AS command
    SET status = 'failed', finished_at = statement_timestamp(), reason = '', error = outcome.reason
    FROM unnest(%(numbers)s::bigint[], %(reasons)s::text[]) AS outcome (number, reason)
    WHERE command.number = outcome.number AND finished_at IS NULL
    RETURNING command.number, outcome.reason
)
INSERT INTO devices_commandtransition (command_id, status, at, by, detail)
SELECT number, 'failed', statement_timestamp(), '', reason FROM failed
"""

# At most a minute between attempts. A command that makes the broker end the connection leaves all
# that are on their way with it unclear: from the third time on their devices are looked at at
# random, or it would take the same others with it for ever.
RELEASE = """
UPDATE devices_devicequeue AS queue SET
    leased_until = NULL,
    attempts = CASE WHEN result IN ('taken', 'impossible') THEN 0 ELSE attempts END,
    look_at = statement_timestamp() + CASE
        WHEN result = 'not taken'
            THEN least(60, power(2, least(attempts, 7) - 1)) * (0.75 + 0.25 * random())
        WHEN result = 'unclear' AND attempts > 2
            THEN least(60, power(2, least(attempts, 7) - 1)) * random()
        ELSE 0
    END * interval '1 second'
FROM unnest(%(devices)s::bigint[], %(leases)s::timestamptz[], %(results)s::text[])
    AS outcome (device_id, lease, result)
WHERE queue.device_id = outcome.device_id AND leased_until = lease
"""
