-- What the decisions around a time used, by place: every model, configuration, code, versioned step
-- and source of features. {spans} says for each component from when to when its uses are counted;
-- `nth` numbers a component's decisions in one environment, so that a reader can tell how many there
-- were between two uses of one version.
WITH seen AS (
    SELECT coalesce(environment, 'production') AS environment, region, replica,
           epoch_us(occurred_at) AS moment, model, config, execution, capture, steps,
           feature_sources
    FROM {records} WHERE {condition}
), used AS (
    SELECT environment, region, replica, moment, 'model' AS kind, model.name AS name,
           model.version AS version, model.digest AS digest, NULL::VARCHAR AS held
    FROM seen WHERE model IS NOT NULL
    UNION ALL
    SELECT environment, region, replica, moment, 'config', config.name, config.revision,
           config.digest, config.values
    FROM seen WHERE config IS NOT NULL
    UNION ALL
    SELECT environment, region, replica, moment, 'code', capture.emitter, execution.code_version,
           execution.dependency_digest, NULL
    FROM seen WHERE execution.code_version IS NOT NULL
    UNION ALL
    SELECT environment, region, replica, moment, step.kind, step.component, step.version,
           step.digest, NULL
    FROM (SELECT environment, region, replica, moment, unnest(steps) AS step FROM seen)
    WHERE step.kind <> 'model' AND (step.digest IS NOT NULL OR step.version IS NOT NULL)
    UNION ALL
    SELECT environment, region, replica, moment, 'run', source.job, source.run_id, NULL, NULL
    FROM (SELECT environment, region, replica, moment, unnest(feature_sources) AS source FROM seen)
    WHERE source.job IS NOT NULL AND source.run_id IS NOT NULL
), numbered AS (
    SELECT *, row_number() OVER (PARTITION BY environment, kind, name ORDER BY moment) AS nth
    FROM used
)
SELECT environment, region, replica, kind, name, version, digest,
       count(*) FILTER (moment >= coalesce(first_us, {low}) AND moment <= coalesce(last_us, {high}))
           AS decisions,
       max(moment) FILTER (moment <= {at}) AS last_before_us,
       min(moment) FILTER (moment > {at}) AS first_after_us,
       max(nth) FILTER (moment <= {at}) AS nth_before, min(nth) FILTER (moment > {at}) AS nth_after,
       any_value(held) AS held, count(*) AS all_decisions
FROM numbered LEFT JOIN {spans} AS spans(its_kind, its_name, first_us, last_us)
     ON its_kind = kind AND its_name IS NOT DISTINCT FROM name
GROUP BY ALL
