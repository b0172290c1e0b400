-- billing_features, code 3e1f: use of the line and paying behaviour, one row a client.
--
-- lineage: limit_balance      <- raw.accounts.limit_balance
-- lineage: utilisation_last   <- raw.statements.bill_1, raw.postings.amount, raw.accounts.limit_balance
-- lineage: utilisation_3m     <- raw.statements.bill_1, raw.statements.bill_2, raw.statements.bill_3, raw.postings.amount, raw.accounts.limit_balance
-- lineage: utilisation_6m     <- raw.statements.bill_1, raw.statements.bill_2, raw.statements.bill_3, raw.statements.bill_4, raw.statements.bill_5, raw.statements.bill_6, raw.postings.amount, raw.accounts.limit_balance
-- lineage: payment_ratio_last <- raw.statements.paid_1, raw.statements.bill_2
-- lineage: payment_ratio_3m   <- raw.statements.paid_1, raw.statements.paid_2, raw.statements.paid_3, raw.statements.bill_2, raw.statements.bill_3, raw.statements.bill_4
-- lineage: payment_ratio_6m   <- raw.statements.paid_1, raw.statements.paid_2, raw.statements.paid_3, raw.statements.paid_4, raw.statements.paid_5, raw.statements.bill_2, raw.statements.bill_3, raw.statements.bill_4, raw.statements.bill_5, raw.statements.bill_6
-- lineage: bill_trend_6m      <- raw.statements.bill_1, raw.statements.bill_6, raw.postings.amount, raw.accounts.limit_balance
-- lineage: bill_volatility_6m <- raw.statements.bill_1, raw.statements.bill_2, raw.statements.bill_3, raw.statements.bill_4, raw.statements.bill_5, raw.statements.bill_6, raw.accounts.limit_balance
-- lineage: months_zero_bill   <- raw.statements.bill_1, raw.statements.bill_2, raw.statements.bill_3, raw.statements.bill_4, raw.statements.bill_5, raw.statements.bill_6
-- lineage: last_payment       <- raw.statements.paid_1
-- lineage: payment_mean_6m    <- raw.statements.paid_1, raw.statements.paid_2, raw.statements.paid_3, raw.statements.paid_4, raw.statements.paid_5, raw.statements.paid_6
-- lineage: purchases_14d      <- raw.postings.amount, raw.accounts.limit_balance
CREATE OR REPLACE TABLE features.billing_features AS
WITH posted AS (
    SELECT
        client,
        sum(amount) AS net,
        sum(amount) FILTER (amount > 0 AND posted_at >= $as_of - INTERVAL 14 DAY) AS bought
    FROM raw.postings
    WHERE posted_at < $as_of
    GROUP BY client
),
account AS (
    SELECT s.*, a.limit_balance, s.bill_1 + coalesce(p.net, 0) AS balance, coalesce(p.bought, 0) AS bought
    FROM raw.accounts AS a
    JOIN raw.statements AS s USING (client)
    LEFT JOIN posted AS p USING (client)
)
SELECT
    client,
    limit_balance,
    round(balance / limit_balance, 4) AS utilisation_last,
    -- in per cent, as printed on the statement
    round(100 * (balance + bill_2 + bill_3) / 3 / limit_balance, 2) AS utilisation_3m,
    round((balance + bill_2 + bill_3 + bill_4 + bill_5 + bill_6) / 6 / limit_balance, 4) AS utilisation_6m,
    round(paid_1 / nullif(greatest(bill_2, 0), 0), 4) AS payment_ratio_last,
    round((paid_1 + paid_2 + paid_3) / nullif(greatest(bill_2 + bill_3 + bill_4, 0), 0), 4)
        AS payment_ratio_3m,
    round(
        (paid_1 + paid_2 + paid_3 + paid_4 + paid_5)
        / nullif(greatest(bill_2 + bill_3 + bill_4 + bill_5 + bill_6, 0), 0),
        4
    ) AS payment_ratio_6m,
    round((balance - bill_6) / limit_balance, 4) AS bill_trend_6m,
    round(list_stddev_pop([bill_1, bill_2, bill_3, bill_4, bill_5, bill_6]) / limit_balance, 4)
        AS bill_volatility_6m,
    (bill_1 <= 0)::INTEGER + (bill_2 <= 0)::INTEGER + (bill_3 <= 0)::INTEGER
        + (bill_4 <= 0)::INTEGER + (bill_5 <= 0)::INTEGER + (bill_6 <= 0)::INTEGER AS months_zero_bill,
    paid_1 AS last_payment,
    round((paid_1 + paid_2 + paid_3 + paid_4 + paid_5 + paid_6) / 6, 2) AS payment_mean_6m,
    round(bought / limit_balance, 4) AS purchases_14d
FROM account
ORDER BY client
