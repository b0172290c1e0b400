-- bureau_features, code 5f20: months in arrears as the bureau reports them, one row a client.
-- Status: -2 not used, -1 paid in full, 0 revolving, 1 to 9 months late; 1 is the newest month.
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
        [coalesce(u.status, r.status_1), r.status_2, r.status_3, r.status_4, r.status_5, r.status_6]
            AS months
    FROM raw.accounts AS a
    JOIN raw.repayment_status AS r USING (client)
    LEFT JOIN updated AS u USING (client)
)
SELECT
    client,
    age,
    months[1] AS pay_status_last,
    round((months[1] + months[2] + months[3]) / 3, 2) AS pay_status_mean_3m,
    greatest(list_max(months), 0) AS months_late_max,
    len(list_filter(months, lambda m: m > 0)) AS months_late_count,
    list_position(list_transform(months, lambda m: m > 0), true) - 1 AS months_since_late,
    len(list_filter(months, lambda m: m = -2)) AS months_unused
FROM history
ORDER BY client
