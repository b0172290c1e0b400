-- What declares which datasets a job reads and writes: each of its runs, and each JobEvent about it.
-- The current one is the last that completed; where none has, the last that there is.
CREATE TEMP TABLE lineage_units AS
WITH units AS (
    SELECT job_namespace, job_name, true AS ran, run_id AS unit,
           min(epoch_us(occurred_at)) AS first_us, max(epoch_us(occurred_at)) AS last_us,
           max(epoch_us(occurred_at)) FILTER (WHERE event_type = 'COMPLETE') AS done_us,
           max(epoch_us(occurred_at)) FILTER (WHERE event_type IN ('FAIL', 'ABORT')) AS failed_us
    FROM lineage_source WHERE kind = 'run' GROUP BY job_namespace, job_name, run_id
    UNION ALL
    SELECT job_namespace, job_name, false, event_id, epoch_us(occurred_at), epoch_us(occurred_at),
           epoch_us(occurred_at), NULL
    FROM lineage_source
    WHERE kind = 'job' AND coalesce(len(inputs), 0) + coalesce(len(outputs), 0)
                           + coalesce(len(column_edges), 0) > 0
), numbered AS (
    SELECT *, row_number() OVER () AS id FROM units
)
SELECT *, min(id) OVER (PARTITION BY job_namespace, job_name) AS job,
       row_number() OVER (
           PARTITION BY job_namespace, job_name
           ORDER BY done_us IS NULL, done_us DESC, last_us DESC, unit DESC
       ) = 1 AS current,
       row_number() OVER (
           PARTITION BY job_namespace, job_name ORDER BY ran DESC, last_us DESC, unit DESC
       ) = 1 AS last
FROM numbered
