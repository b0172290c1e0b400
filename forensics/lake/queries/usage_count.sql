-- What a batch of decisions used: every model, configuration, code and versioned step, by hour.
WITH seen AS (
    SELECT coalesce(environment, 'production') AS environment, epoch_us(occurred_at) AS moment,
           epoch_us(coalesce(recorded_at, ingested_at)) AS known, model, config, execution, capture,
           steps
    FROM {records}
), used AS (
    SELECT environment, moment, known, 'model' AS kind, model.name AS name,
           model.version AS version, model.digest AS digest FROM seen WHERE model IS NOT NULL
    UNION ALL
    SELECT environment, moment, known, 'config', config.name, config.revision, config.digest
    FROM seen WHERE config IS NOT NULL
    UNION ALL
    SELECT environment, moment, known, 'code', capture.emitter, execution.code_version,
           execution.dependency_digest
    FROM seen WHERE execution.code_version IS NOT NULL
    UNION ALL
    SELECT environment, moment, known, step.kind, step.component, step.version, step.digest
    FROM (SELECT environment, moment, known, unnest(steps) AS step FROM seen)
    WHERE step.kind <> 'model' AND (step.digest IS NOT NULL OR step.version IS NOT NULL)
    UNION ALL
    SELECT environment, moment, known, 'decisions', NULL, NULL, NULL FROM seen
)
SELECT {point} AS point, environment, kind, name, version, digest,
       (moment // 3600000000)::INTEGER AS hour, count(*) AS decisions, min(moment) AS first_us,
       max(moment) AS last_us, min(known) AS known_us
FROM used GROUP BY ALL
