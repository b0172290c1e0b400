-- How values are written in Parquet: times as UTC microseconds, any-JSON values as text.
CREATE OR REPLACE MACRO ts(micros) AS make_timestamptz(micros);
CREATE OR REPLACE MACRO js(value) AS value::VARCHAR;
CREATE OR REPLACE MACRO step(name, what, component_, version_, digest_, began, ended, given, gave, how := 'ok') AS
    struct_pack(
        id := name, parent := NULL::VARCHAR, kind := what, component := component_,
        version := version_, digest := digest_, started_at := ts(began), ended_at := ts(ended),
        inputs := js(given), outputs := js(gave), status := how, error := NULL::VARCHAR
    );
