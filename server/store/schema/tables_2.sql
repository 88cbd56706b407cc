-- tables_2.sql - version 2: no table changed.

UPDATE penstock.meta SET version = 2;
