-- bureau_features, code 91be: as 5f20, without lists (a third of the time, the same values).
-- Status: -2 not used, -1 paid in full, 0 revolving, 1 to 9 months late; s1 is the newest month.
--
-- lineage: age               <- raw.accounts.age
-- lineage: pay_status_last   <- raw.repayment_status.status_1, raw.status_updates.status
-- lineage: pay_status_mean_3m <- raw.repayment_status.status_1, raw.repayment_status.status_2, raw.repayment_status.status_3, raw.status_updates.status
-- lineage: months_late_max   <- raw.repayment_status.status_1, raw.repayment_status.status_2, raw.repayment_status.status_3, raw.repayment_status.status_4, raw.repayment_status.status_5, raw.repayment_status.status_6, raw.status_updates.status
-- lineage: months_late_count <- raw.repayment_status.status_1, raw.repayment_status.status_2, raw.repayment_status.status_3, raw.repayment_status.status_4, raw.repayment_status.status_5, raw.repayment_status.status_6, raw.status_updates.status
-- lineage: months_since_late <- raw.repayment_status.status_1, raw.repayment_status.status_2, raw.repayment_status.status_3, raw.repayment_status.status_4, raw.repayment_status.status_5, raw.repayment_status.status_6, raw.status_updates.status
-- lineage: months_unused     <- raw.repayment_status.status_1, raw.repayment_status.status_2, raw.repayment_status.status_3, raw.repayment_status.status_4, raw.repayment_status.status_5, raw.repayment_status.status_6, raw.status_updates.status
CREATE OR REPLACE TABLE features.bureau_features AS
WITH updated AS (
    SELECT client, arg_max(status, reported_at) AS status
    FROM raw.status_updates
    WHERE reported_at < $as_of
    GROUP BY client
),
history AS (
    SELECT
        a.client,
        a.age,
        coalesce(u.status, r.status_1) AS s1,
        r.status_2 AS s2,
        r.status_3 AS s3,
        r.status_4 AS s4,
        r.status_5 AS s5,
        r.status_6 AS s6
    FROM raw.accounts AS a
    JOIN raw.repayment_status AS r USING (client)
    LEFT JOIN updated AS u USING (client)
)
SELECT
    client,
    age,
    s1 AS pay_status_last,
    round((s1 + s2 + s3) / 3, 2) AS pay_status_mean_3m,
    greatest(s1, s2, s3, s4, s5, s6, 0) AS months_late_max,
    (s1 > 0)::INTEGER + (s2 > 0)::INTEGER + (s3 > 0)::INTEGER
        + (s4 > 0)::INTEGER + (s5 > 0)::INTEGER + (s6 > 0)::INTEGER AS months_late_count,
    CASE
        WHEN s1 > 0 THEN 0 WHEN s2 > 0 THEN 1 WHEN s3 > 0 THEN 2
        WHEN s4 > 0 THEN 3 WHEN s5 > 0 THEN 4 WHEN s6 > 0 THEN 5
    END AS months_since_late,
    (s1 = -2)::INTEGER + (s2 = -2)::INTEGER + (s3 = -2)::INTEGER
        + (s4 = -2)::INTEGER + (s5 = -2)::INTEGER + (s6 = -2)::INTEGER AS months_unused
FROM history
ORDER BY client
