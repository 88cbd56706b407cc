-- tail.sql - a finding as take_row() in audit.c reads it; its identity is a uuid (of version 8: made
-- by a rule of our own) of what was found where, so that it is the same in every run.
SELECT overlay(overlay(left(encode(sha256(convert_to(f.kind || chr(10) || f.subject, 'UTF8')),
        'hex'), 32) PLACING '8' FROM 13) PLACING 'a' FROM 17)::uuid,
    f.level, f.kind, f.place, f.subject, f.detail, f.mend, f.confidence, f.measure,
    f.calls, f.total, f.reads
FROM finding f ORDER BY f.measure DESC NULLS LAST, f.subject LIMIT 50
