-- Column edges of the chosen jobs and of DatasetEvents. Within a run the facet that a dataset was
-- sent with last replaces the earlier ones.
WITH told AS (
    SELECT told.id, told.job, told.ran, told.declared_us, told.current, told.us, told.column_edges,
           unit.unit, of.job_namespace, of.job_name
    FROM lineage_told AS told
    LEFT JOIN lineage_units AS of ON of.id = told.job
    LEFT JOIN lineage_units AS unit ON unit.id = told.id
    WHERE len(told.column_edges) > 0
), edges AS (
    SELECT * EXCLUDE (column_edges), unnest(column_edges, recursive := true)
    FROM told WHERE job IS NULL OR {jobs}
), newest AS (
    SELECT *, dense_rank() OVER (
                  PARTITION BY id, output_namespace, output_name ORDER BY us DESC
              ) = 1 AS last
    FROM edges
)
SELECT job_namespace, job_name, output_namespace, output_name, output_column, input_namespace,
       input_name, input_column, list_sort(list_distinct(list(transformation))), bool_or(current),
       min(declared_us), max(declared_us), arg_max(unit, declared_us) FILTER (WHERE ran)
FROM newest WHERE last AND input_name IS NOT NULL AND output_name IS NOT NULL
GROUP BY ALL ORDER BY ALL
