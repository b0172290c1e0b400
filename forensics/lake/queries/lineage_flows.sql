-- One row per job, dataset and direction. Datasets that only column edges name count too.
WITH named AS (
    SELECT id, job, ran, declared_us, current, true AS written, unnest(outputs) AS said
    FROM lineage_told WHERE declares AND job IS NOT NULL
    UNION ALL
    SELECT id, job, ran, declared_us, current, false, unnest(inputs)
    FROM lineage_told WHERE declares
    UNION ALL
    SELECT id, job, ran, declared_us, current, false, unnest(list_distinct(list_transform(
               column_edges, lambda x: {{namespace: x.input_namespace, name: x.input_name}})))
    FROM lineage_told WHERE job IS NOT NULL
    UNION ALL
    SELECT id, job, ran, declared_us, current, true, unnest(list_filter(
               list_distinct(list_transform(
                   column_edges, lambda x: {{namespace: x.output_namespace, name: x.output_name}})),
               lambda y: NOT list_contains(coalesce(inputs, []), y)))
    FROM lineage_told WHERE job IS NOT NULL
), flows AS (
    SELECT job, written, said.namespace AS namespace, said.name AS name, bool_or(current) AS current,
           min(declared_us) AS first_us, max(declared_us) AS last_us,
           arg_max(id, declared_us) FILTER (WHERE ran) AS id
    FROM named WHERE said.name IS NOT NULL
    GROUP BY job, written, said.namespace, said.name
)
SELECT of.job_namespace, of.job_name, written, namespace, name, flows.current, flows.first_us,
       flows.last_us, unit.unit
FROM flows JOIN lineage_units AS of ON of.id = flows.job
LEFT JOIN lineage_units AS unit ON unit.id = flows.id
ORDER BY job_namespace, job_name, written, namespace, name
