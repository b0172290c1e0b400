-- One row per point, feature and day from many profile files: counts add up, quantiles are averaged
-- by their counts.
SELECT point, feature, day, sum(rows)::BIGINT AS rows, sum(nulls)::BIGINT AS nulls, min(low) AS low,
       sum(q01 * rows) / sum(rows) AS q01, sum(q50 * rows) / sum(rows) AS q50,
       sum(q99 * rows) / sum(rows) AS q99, max(high) AS high
FROM read_parquet({files}) WHERE rows > 0
GROUP BY ALL
