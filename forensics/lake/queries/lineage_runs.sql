-- What each run wrote and read, and which run had written what it read: the one that wrote the
-- version that was read, else the last that ended well before the reader first named the dataset.
CREATE OR REPLACE TEMP TABLE lineage_touched AS
WITH events AS NOT MATERIALIZED (
    SELECT unit.id, epoch_us(event.occurred_at) AS us, inputs, outputs
    FROM lineage_source AS event JOIN lineage_units AS unit
      ON unit.job_namespace = event.job_namespace AND unit.job_name = event.job_name
     AND unit.unit = event.run_id AND unit.ran
    WHERE event.kind = 'run'
), named AS (
    SELECT id, us, true AS written, said.namespace AS namespace, said.name AS name,
           said.version AS version
    FROM (SELECT id, us, unnest(outputs) AS said FROM events)
    UNION ALL
    SELECT id, us, false, said.namespace, said.name, said.version
    FROM (SELECT id, us, unnest(inputs) AS said FROM events)
)
SELECT id, written, {space} AS namespace, {dataset} AS name, min(us) AS us,
       arg_max(version, us) AS version
FROM named {other_names}
GROUP BY id, written, {space}, {dataset};

CREATE OR REPLACE TEMP TABLE lineage_writes AS
SELECT touched.id, namespace, name, version, coalesce(unit.done_us, unit.last_us) AS us,
       unit.unit AS run, unit.done_us IS NOT NULL OR unit.failed_us IS NULL AS well
FROM lineage_touched AS touched JOIN lineage_units AS unit USING (id)
WHERE written;

CREATE OR REPLACE TEMP TABLE lineage_reads AS
WITH writes AS (
    -- Of runs that ended in one instant always the same one.
    SELECT namespace, name, us, arg_max(id, run) AS writer, arg_max(version, run) AS version
    FROM lineage_writes WHERE well GROUP BY namespace, name, us
), versions AS (
    SELECT namespace, name, version, arg_max(writer, us) AS writer, max(us) AS us
    FROM writes WHERE version IS NOT NULL GROUP BY namespace, name, version
), reads AS (
    SELECT * EXCLUDE (written), row_number() OVER () AS number
    FROM lineage_touched WHERE NOT written
), before AS (
    SELECT number, writer, writes.version AS version, writes.us AS us
    FROM reads ASOF JOIN writes
      ON reads.namespace = writes.namespace AND reads.name = writes.name AND reads.us > writes.us
)
SELECT reads.id, reads.namespace, reads.name,
       coalesce(versions.writer, CASE WHEN reads.version IS NULL OR before.version IS NULL
                                      THEN before.writer END) AS writer,
       coalesce(reads.version, before.version) AS version,
       versions.writer IS NOT NULL AS told, reads.us AS us,
       coalesce(versions.us, before.us) AS written_us
FROM reads
LEFT JOIN versions ON versions.namespace = reads.namespace AND versions.name = reads.name
                  AND versions.version = reads.version
LEFT JOIN before ON before.number = reads.number
