-- The first and the last use of each component version, whatever came between.
SELECT environment, kind, name, version, digest, sum(decisions)::BIGINT AS decisions,
       min(first_us) AS first_us, max(last_us) AS last_us, min(known_us) AS known_us
FROM ({usages}) WHERE {condition} GROUP BY ALL
