-- What is known of the chosen units.
WITH chosen AS (SELECT * FROM lineage_units WHERE {condition}),
told AS (
    SELECT chosen.*, event_type, code_version, error, parent, occurred_at, event_id
    FROM lineage_source AS event JOIN chosen
      ON event.job_namespace = chosen.job_namespace AND event.job_name = chosen.job_name
     AND event.run_id = chosen.unit AND chosen.ran
    WHERE event.kind = 'run'
    UNION ALL
    SELECT chosen.*, event_type, code_version, error, NULL, occurred_at, event_id
    FROM lineage_source AS event JOIN chosen ON event.event_id = chosen.unit AND NOT chosen.ran
    WHERE event.kind = 'job'
), ordered AS (
    -- Events of one instant have an order too, and a number is quick to compare.
    SELECT *, epoch_us(occurred_at)::HUGEINT << 60 | ('0x' || left(event_id, 15))::HUGEINT AS moment
    FROM told
)
SELECT job_namespace, job_name, CASE WHEN ran THEN unit END,
       coalesce(
           arg_max(event_type, moment)
               FILTER (WHERE event_type IN ('COMPLETE', 'FAIL', 'ABORT')),
           arg_max(event_type, moment)
       ),
       first_us, last_us, arg_max(code_version, moment), arg_max(error, moment),
       arg_max(parent, moment) FILTER (WHERE parent.run_id IS NOT NULL)
FROM ordered GROUP BY job_namespace, job_name, ran, unit, first_us, last_us
ORDER BY first_us, job_namespace, job_name, unit
