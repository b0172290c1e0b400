-- Every name that events know, of the chosen kinds.
WITH named AS (
    SELECT 'job' AS kind, job_namespace AS namespace, job_name AS name FROM lineage_source
    UNION ALL
    SELECT 'job', parent.job_namespace, parent.job_name FROM lineage_source
    UNION ALL
    SELECT 'dataset', said.namespace, said.name FROM (
        SELECT unnest(inputs) AS said FROM lineage_source
    )
    UNION ALL
    SELECT 'dataset', said.namespace, said.name FROM (
        SELECT unnest(outputs) AS said FROM lineage_source
    )
    UNION ALL
    SELECT 'dataset', edge.input_namespace, edge.input_name FROM (
        SELECT unnest(column_edges) AS edge FROM lineage_source
    )
    UNION ALL
    SELECT 'dataset', namespace, name FROM (
        SELECT unnest(fact.symlinks, recursive := true) FROM (
            SELECT unnest(facts) AS fact FROM lineage_told
        )
    )
    UNION ALL
    SELECT 'run', '', run_id FROM lineage_source
    UNION ALL
    SELECT 'run', '', parent.run_id FROM lineage_source
)
SELECT DISTINCT kind, namespace, name FROM named
WHERE name IS NOT NULL AND kind IN ({kinds}) AND {condition}
ORDER BY {order} LIMIT {limit}
