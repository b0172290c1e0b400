-- The events of runs, oldest first, each with a mark of what it says was written and tested: equal
-- where two say the same.
SELECT job_namespace, job_name, run_id, epoch_us(occurred_at) AS occurred_us,
       epoch_us(ingested_at) AS received_us, event_type, code_version, error,
       CASE WHEN len(outputs) > 0 OR len(inputs) > 0 THEN hash(
           list_transform(outputs, lambda o: (o.namespace, o.name, o.columns, o.types, o.assertions)),
           list_transform(inputs, lambda i: (i.namespace, i.name, i.assertions))
       ) END AS mark
FROM read_parquet({files}, union_by_name = true)
WHERE run_id IS NOT NULL AND job_name IS NOT NULL AND {condition}
ORDER BY occurred_at, event_id
