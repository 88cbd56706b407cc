-- check_publish.sql - what may be published: a constraint of the outbox.

-- Raises an error unless these can be pushed: the server's own limits, and the edge's for channels.
CREATE OR REPLACE FUNCTION penstock.check_publish(in_stream text, in_channels text[], in_data json)
RETURNS boolean LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    channels_max CONSTANT integer := 8;
    channel_bytes_max CONSTANT integer := 200;
    data_bytes_max CONSTANT integer := 1048576;
    depth_max CONSTANT integer := 98;
    channel text;
    data text := in_data;
    brackets text;
    depth_left integer := depth_max;
BEGIN
    IF in_stream ~ '[^a-z0-9_-]' OR octet_length(in_stream) NOT BETWEEN 1 AND 63 THEN
        RAISE EXCEPTION 'a stream''s name has 1 to 63 of a-z 0-9 _ -, not "%"', in_stream
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF array_ndims(in_channels) IS DISTINCT FROM 1
        OR cardinality(in_channels) > channels_max THEN
        RAISE EXCEPTION 'an event goes to 1 to % channels, not to %', channels_max,
            cardinality(in_channels) USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOREACH channel IN ARRAY in_channels LOOP
        IF channel IS NULL OR channel = '' THEN
            RAISE EXCEPTION 'a channel''s name is missing'
                USING ERRCODE = 'invalid_parameter_value';
        ELSIF octet_length(convert_to(channel, 'UTF8')) > channel_bytes_max THEN
            RAISE EXCEPTION 'a channel''s name has at most % bytes, "%…" has %', channel_bytes_max,
                left(channel, 40), octet_length(convert_to(channel, 'UTF8'))
                USING ERRCODE = 'invalid_parameter_value';
        ELSIF channel COLLATE "C" ~ '[\x01-\x1f\x7f]' THEN
            RAISE EXCEPTION 'a channel''s name has no control characters, % has one',
                to_json(channel) USING ERRCODE = 'invalid_parameter_value';
        END IF;
    END LOOP;
    IF json_typeof(in_data) <> 'object' THEN
        RAISE EXCEPTION 'the data of an event is a JSON object, not %', CASE json_typeof(in_data)
            WHEN 'array' THEN 'an array' ELSE 'a ' || json_typeof(in_data) END
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF octet_length(data) > data_bytes_max THEN
        RAISE EXCEPTION 'the data of an event has at most % bytes, this has %', data_bytes_max,
            octet_length(data) USING ERRCODE = 'program_limit_exceeded',
            HINT = 'Store the row, and publish where it is found.';
    END IF;
    -- So deep takes so many brackets at least; who has them is looked at closely. It is the text
    -- that will be read, so the text is measured: jsonb has lost what a later field of the same name
    -- replaces. First goes what stands between brackets, strings with all that is in them; then the
    -- innermost pairs, again and again: each time what is left is one less deep.
    IF octet_length(data) > 2 * depth_max
        AND octet_length(data) - octet_length(replace(replace(data, '[', ''), '{', '')) > depth_max
    THEN
        brackets := translate(regexp_replace(data,
            E'(?:[^][{}"]|"(?:[^"\\\\]|\\\\.)*")+', '', 'g'), '{}', '[]');
        WHILE depth_left > 0 AND octet_length(brackets) > 2 * depth_left LOOP
            brackets := replace(brackets, '[]', '');
            depth_left := depth_left - 1;
        END LOOP;
        IF octet_length(brackets) > 2 * depth_left THEN
            RAISE EXCEPTION 'the data of an event nests at most % deep', depth_max
                USING ERRCODE = 'program_limit_exceeded';
        END IF;
    END IF;
    RETURN true;
END
$$;
