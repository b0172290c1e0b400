-- Ids of the runs that tell something: the first of a job, those with other code, other columns or
-- other test results than the run before, those that failed, and the first that did not fail again.
WITH runs AS (
    SELECT job_namespace, job_name, run_id,
           max(occurred_at) FILTER (event_type IN ('COMPLETE', 'FAIL', 'ABORT')) AS ended,
           arg_max(event_type, (occurred_at, list_position(['COMPLETE', 'ABORT', 'FAIL'], event_type)))
               FILTER (event_type IN ('COMPLETE', 'FAIL', 'ABORT')) AS state,
           arg_max(code_version, occurred_at) FILTER (code_version IS NOT NULL) AS code,
           sum(hash(
               list_transform(outputs, lambda o:
                   (o.namespace, o.name, o.columns, o.types, o.assertions)),
               list_transform(inputs, lambda i: (i.namespace, i.name, i.assertions))
           ) & 4294967295) AS mark
    FROM read_parquet({files}, union_by_name = true)
    WHERE run_id IS NOT NULL AND job_name IS NOT NULL AND {condition}
    GROUP BY job_namespace, job_name, run_id HAVING ended IS NOT NULL
), ordered AS (
    SELECT *, lag(state) OVER job AS state_before
    FROM runs WINDOW job AS (PARTITION BY job_namespace, job_name ORDER BY ended, run_id)
), good AS (
    SELECT *, lag(code IGNORE NULLS) OVER job AS code_before, lag(mark) OVER job AS mark_before
    FROM ordered WHERE state = 'COMPLETE'
    WINDOW job AS (PARTITION BY job_namespace, job_name ORDER BY ended, run_id)
)
SELECT run_id FROM ordered WHERE state <> 'COMPLETE' OR state_before IS DISTINCT FROM 'COMPLETE'
UNION
SELECT run_id FROM good
WHERE code IS DISTINCT FROM code_before OR mark IS DISTINCT FROM mark_before
