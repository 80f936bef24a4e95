-- Run once by the owner of the hub's database, before the hub's first start:
--   psql -v password=… -f deploy/postgres.sql
-- Then `hub doctor` once with the owner's address in HUB_DATABASE_URL, which makes the tables and
-- gives this role what it may do; and from then on this role's address. A new version of the hub
-- says `books-behind` until the owner has done the same again.
CREATE ROLE hub_app LOGIN PASSWORD :'password' NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT;
