-- How values are written in JSON lines: times as text, any-JSON values nested.
CREATE OR REPLACE MACRO ts(micros) AS strftime(make_timestamp(micros), '%Y-%m-%dT%H:%M:%S.%fZ');
CREATE OR REPLACE MACRO js(value) AS value::JSON;
-- A null of the contract is left out; a null feature is evidence and stays.
CREATE OR REPLACE MACRO without_nulls(text) AS replace(
    regexp_replace(
        text,
        '"(parent|digest|error|dataset|job|run_id|seed|written_at|model_digest|config_digest'
        || '|background_digest|explanation|inputs|calls|erasure_key_id|masked|erased)":null,?',
        '',
        'g'
    ),
    ',}',
    '}'
);
CREATE OR REPLACE MACRO step(name, what, component_, version_, digest_, began, ended, given, gave, how := 'ok') AS
    struct_pack(
        id := name, parent := NULL::VARCHAR, kind := what, component := component_,
        version := version_, digest := digest_, started_at := ts(began), ended_at := ts(ended),
        inputs := js(given), outputs := js(gave), status := how, error := NULL::VARCHAR
    );
