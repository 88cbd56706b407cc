-- tables_4.sql - version 4: the key under which the nodes speak to each other.
--
-- Broadcasts and presence go from node to node as notifications, and any role that may connect can
-- send and hear those. So nodes seal what they say (server/bus/seal.h), under a key that lies here.
-- Whoever may read this table can hear and forge what nodes say: the role that servers connect as,
-- and nobody else. Where that role is not the owner, grant it SELECT on this table.

CREATE TABLE penstock.bus_key (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    key bytea NOT NULL CHECK (octet_length(key) = 32)
);
REVOKE ALL ON penstock.bus_key FROM PUBLIC;

-- A uuid of version 4 has 122 random bits: four of them fill the 256 of the sum.
INSERT INTO penstock.bus_key (key) VALUES (sha256(
    uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) ||
    uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())));

UPDATE penstock.meta SET version = 4;
