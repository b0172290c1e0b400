-- The runs of a window, {since} to before {until} in microseconds, from the lineage events between
-- {first} and {last}: each at its end, or at its beginning where it has not ended.
SELECT job_namespace, job_name, run_id, began_us, ended_us, state, code_version, error,
       coalesce(ended_us, began_us) AS at_us
FROM (
    SELECT job_namespace, job_name, run_id, min(epoch_us(occurred_at)) AS began_us,
           max(epoch_us(occurred_at)) FILTER (event_type IN ('COMPLETE', 'FAIL', 'ABORT'))
               AS ended_us,
           arg_max(event_type, occurred_at) FILTER (event_type IN ('COMPLETE', 'FAIL', 'ABORT'))
               AS state,
           arg_max(code_version, occurred_at) FILTER (code_version IS NOT NULL) AS code_version,
           arg_max(error, occurred_at) FILTER (error IS NOT NULL) AS error
    FROM read_parquet({files}, union_by_name = true)
    WHERE run_id IS NOT NULL AND job_name IS NOT NULL
        AND occurred_at >= make_timestamptz({first}) AND occurred_at < make_timestamptz({last})
    GROUP BY job_namespace, job_name, run_id
)
WHERE at_us >= {since} AND at_us < {until}
