-- tables_7.sql - version 7: no table changes; what is published is measured as it will be read
-- (check_publish.sql).

UPDATE penstock.meta SET version = 7;
