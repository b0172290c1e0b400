-- One row per hour and component version from many usage files.
SELECT point, environment, kind, name, version, digest, hour, sum(decisions)::BIGINT AS decisions,
       min(first_us) AS first_us, max(last_us) AS last_us, min(known_us) AS known_us
FROM ({usages}) GROUP BY ALL ORDER BY hour, point, environment, kind
