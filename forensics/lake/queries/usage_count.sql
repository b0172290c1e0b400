-- What a batch of decisions used: every model, configuration and versioned step, by hour.
WITH seen AS (
    SELECT coalesce(environment, 'production') AS environment, epoch_us(occurred_at) AS moment,
           model, config, steps
    FROM {records}
), used AS (
    SELECT environment, moment, 'model' AS kind, model.name AS name, model.version AS version,
           model.digest AS digest FROM seen WHERE model IS NOT NULL
    UNION ALL
    SELECT environment, moment, 'config', config.name, config.revision, config.digest
    FROM seen WHERE config IS NOT NULL
    UNION ALL
    SELECT environment, moment, step.kind, step.component, step.version, step.digest
    FROM (SELECT environment, moment, unnest(steps) AS step FROM seen)
    WHERE step.kind <> 'model' AND (step.digest IS NOT NULL OR step.version IS NOT NULL)
    UNION ALL
    SELECT environment, moment, 'decisions', NULL, NULL, NULL FROM seen
)
SELECT {point} AS point, environment, kind, name, version, digest,
       (moment // 3600000000)::INTEGER AS hour, count(*) AS decisions, min(moment) AS first_us,
       max(moment) AS last_us
FROM used GROUP BY ALL
