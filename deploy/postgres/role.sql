-- Run once, when the volume is new: the account of the platform. It owns its database and may make
-- another (to restore a backup beside it), but it is not the superuser, who could read and run what
-- there is in the container, and whom pg_hba.conf lets in from within alone.
\set ON_ERROR_STOP on
\getenv password POSTGRES_PASSWORD
CREATE ROLE iotplatform LOGIN CREATEDB PASSWORD :'password';
ALTER DATABASE iotplatform OWNER TO iotplatform;
