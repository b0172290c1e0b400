-- The events that say what holds: those of the chosen units, and those about datasets. Other events
-- of a job's last unit tell of tests alone, and declare nothing.
CREATE TEMP TABLE lineage_told AS
WITH chosen AS (
    SELECT id, job, unit, ran, coalesce(done_us, last_us) AS declared_us, current,
           current OR {all_time} AS declares, job_namespace, job_name
    FROM lineage_units WHERE current OR last OR {all_time}
), events AS (
    SELECT chosen.* EXCLUDE (job_namespace, job_name, unit), recent.occurred_at, recent.inputs,
           recent.outputs, recent.column_edges
    FROM lineage_recent AS recent JOIN chosen
      ON recent.job_namespace = chosen.job_namespace AND recent.job_name = chosen.job_name
     AND recent.run_id = chosen.unit AND chosen.ran
    WHERE recent.kind = 'run'
    UNION ALL
    SELECT chosen.* EXCLUDE (job_namespace, job_name, unit), recent.occurred_at, recent.inputs,
           recent.outputs, recent.column_edges
    FROM lineage_recent AS recent JOIN chosen ON recent.event_id = chosen.unit AND NOT chosen.ran
    WHERE recent.kind = 'job'
    UNION ALL
    SELECT -row_number() OVER (), NULL, false, epoch_us(occurred_at),
           newest, newest OR ({all_time} AND len(column_edges) > 0), occurred_at, NULL, outputs,
           column_edges
    FROM (
        SELECT *, len(column_edges) > 0 AND row_number() OVER (
                   PARTITION BY outputs[1].namespace, outputs[1].name, len(column_edges) > 0
                   ORDER BY occurred_at DESC, event_id DESC
               ) = 1 AS newest
        FROM lineage_source WHERE kind = 'dataset'
    )
)
SELECT id, job, ran, declared_us, current, declares, epoch_us(occurred_at) AS us,
       list_transform(inputs, lambda x: {{namespace: x.namespace, name: x.name}}) AS inputs,
       list_transform(outputs, lambda x: {{namespace: x.namespace, name: x.name}}) AS outputs,
       CASE WHEN declares THEN column_edges END AS column_edges,
       list_transform(
           list_filter(
               list_concat(inputs, outputs),
               lambda x: len(x.symlinks) > 0 OR len(x.assertions) > 0 OR x.version IS NOT NULL
           ),
           lambda x: {{namespace: x.namespace, name: x.name, version: x.version,
                       assertions: x.assertions, symlinks: x.symlinks}}
       ) AS facts
FROM events
